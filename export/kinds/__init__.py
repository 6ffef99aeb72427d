"""The kinds of networks that are exported, evaluated and gated, one object each."""

from collections.abc import Sequence

from export.errors import ExportError
from export.kinds.classifier import CLASSIFIER
from export.kinds.detector import DETECTOR
from export.model_kind import ModelKind, TensorSpec

__all__ = ["CLASSIFIER", "DETECTOR", "KINDS", "ModelKind", "TensorSpec", "find_kind", "kind_of_inputs"]

KINDS: tuple[ModelKind, ...] = (CLASSIFIER, DETECTOR)


def find_kind(name: str) -> ModelKind:
    """Returns the kind of a model by its name; raises ExportError for an unknown name."""
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise ExportError(f"{name} is of no known kind: give one of {', '.join(kind.name for kind in KINDS)}")


def kind_of_inputs(inputs: Sequence[str]) -> ModelKind | None:
    """Returns the kind of a network by the names of its inputs, None for an unknown one."""
    return next((kind for kind in KINDS if [kind.input.name] == list(inputs)), None)
