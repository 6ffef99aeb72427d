"""Checkpoints: a folder with `weights.safetensors` and `model.json`, without pickles.

`model.json` holds everything to rebuild the network and to trace its origin: architecture and its arguments, class
names, input size, data fingerprint, metrics, run and git commit.
"""

import json
import textwrap
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from traffic_signs.atomic_write import atomic_folder
from training.errors import CheckpointError
from training.models import classifier, detector
from training.models.backbones import architectures

# Of each model its architectures, and what builds a network from the number of classes, one of them and its arguments.
NETWORKS: dict[str, tuple[Callable[[], Collection[str]], Callable[..., nn.Module]]] = {
    classifier.MODEL_NAME: (architectures, classifier.SignClassifier),
    detector.MODEL_NAME: (lambda: detector.ARCHITECTURES, detector.build_detector),
}
SCHEMA = 1  # of model.json; a file without a schema has 1


@dataclass(frozen=True)
class CheckpointInfo:
    """The content of `model.json`."""

    model: str  # "sign_classifier" or "sign_detector"
    architecture: str  # one of those that NETWORKS has for the model
    arguments: dict[str, Any]  # of the network's constructor; empty takes the defaults of the architecture
    class_names: list[str]  # names of the outputs by id: classes of a classifier, categories of a detector
    input_size: list[int]  # height and width of the input in pixels
    data: dict[str, str]  # name, `fingerprint` and other facts of the training data
    metrics: dict[str, float] = field(default_factory=dict)  # evaluation figures by name
    run_id: str = ""  # id of the MLflow run; empty without one
    git_commit: str = ""  # commit of the code; empty outside a checkout


def build_model(info: CheckpointInfo) -> nn.Module:
    """Builds the network that a checkpoint describes, with random weights.

    Raises:
        CheckpointError: the architecture is unknown or does not accept the arguments.
        TrainingError: the architecture needs torchvision, which cannot be imported.
    """
    if info.model not in NETWORKS:
        raise CheckpointError(f"unknown model {info.model!r}: this version knows {', '.join(NETWORKS)}")
    known, build = NETWORKS[info.model]
    if info.architecture not in known():
        raise CheckpointError(f"unknown architecture {info.architecture!r}: this version knows {', '.join(known())}")
    try:
        return build(len(info.class_names), info.architecture, **info.arguments)
    except (TypeError, ValueError, LookupError) as error:
        raise CheckpointError(f"{info.architecture} does not take {info.arguments}: {error}") from error


def save_checkpoint(folder: Path, model: nn.Module, info: CheckpointInfo) -> None:
    """Writes a checkpoint atomically, by a rename.

    Raises CheckpointError if `folder` exists already (a checkpoint is never overwritten) or cannot be written.
    """
    if folder.exists():
        raise CheckpointError(f"{folder} exists already: choose another run name, or move it away")
    try:
        with atomic_folder(folder) as staging:
            tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
            save_file(tensors, staging / "weights.safetensors")
            (staging / "weights.safetensors").chmod(0o644)  # safetensors writes 0600; all may read the other files
            (staging / "model.json").write_text(json.dumps({"schema": SCHEMA, **asdict(info)}, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {folder} ({error}): check its rights and the free space") from error


def load_checkpoint(folder: Path, model: str = "") -> tuple[nn.Module, CheckpointInfo]:
    """Reads a checkpoint: the network in evaluation mode on the CPU, and the content of `model.json`.

    `model` is the required model, "sign_classifier" or "sign_detector"; empty accepts either. Raises CheckpointError if
    a file is missing or damaged, the checkpoint is of another model, or the weights do not fit the architecture.
    """
    info = load_info(folder)
    if model and info.model != model:
        raise CheckpointError(f"the checkpoint {folder} is of a {info.model}: give one of a {model}")
    try:
        network = build_model(info)
        weights = load_file(folder / "weights.safetensors")
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"the checkpoint {folder} cannot be used: {reason}") from error
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = textwrap.shorten(str(error), 160, placeholder=" ...")  # PyTorch lists every tensor
        raise CheckpointError(
            f"the checkpoint {folder} cannot be used: its weights are not those of the {info.architecture} that its "
            f"model.json describes ({reason}): restore both files as `signs train` wrote them"
        ) from error
    return network.eval(), info


def load_info(folder: Path) -> CheckpointInfo:
    """Reads the `model.json` of a checkpoint; raises CheckpointError if it is missing, damaged or of a newer schema."""
    try:
        for name in ("model.json", "weights.safetensors"):
            if not (folder / name).is_file():
                raise CheckpointError(
                    f"{folder} is not a checkpoint: {name} is missing. Give the folder that `signs train` printed"
                )
        values = json.loads((folder / "model.json").read_text())
        schema = values.pop("schema", 1)
        if type(schema) is not int or schema < 1:
            raise ValueError(f"schema is {schema!r}")
        if schema > SCHEMA:
            raise CheckpointError(
                f"the checkpoint {folder} is of schema {schema}, and this release reads up to {SCHEMA}: "
                "install a newer release"
            )
        return CheckpointInfo(**values)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint {folder} cannot be used ({error}): restore its model.json as `signs train` wrote it"
        ) from error
