"""How two versions differ: what they are, where they come from, how good they are."""

from dataclasses import dataclass
from typing import Any, TypeGuard

from export.repository.manifest import Manifest
from export.repository.promotion import require_version
from export.repository.publishing import load_manifest
from export.repository.store import RepositoryLike, open_store

SINGLE = ("created", "size", "precision", "opset", "ir_version", "inputs", "outputs")
GROUPS = ["source", "data", "calibration", "origin", "graph", "parity", "accuracy", "metrics", "tuning", "built_for"]
FIGURES = ("graph.", "parity.", "accuracy.", "int8.", "metrics.")


@dataclass(frozen=True)
class Difference:
    """One fact of two versions; `delta` is the second less the first if both are numbers."""

    name: str
    first: Any
    second: Any
    delta: float | None = None


def compare_versions(repository: RepositoryLike, model: str, first: int, second: int) -> list[Difference]:
    """Returns the facts of two versions, which need manifests, side by side: all figures, and other differences."""
    store = open_store(repository)
    for version in (first, second):
        require_version(store, model, version)  # says which versions there are
    left, right = (_facts(load_manifest(store, model, version)) for version in (first, second))
    rows = []
    for name in dict.fromkeys((*left, *right)):
        a, b = left.get(name), right.get(name)
        figure = name == "size" or name.startswith(FIGURES)
        delta = b - a if figure and _is_number(a) and _is_number(b) else None
        if a != b or delta is not None:
            rows.append(Difference(name, a, b, delta))
    return rows


def _facts(manifest: Manifest) -> dict[str, Any]:
    facts = {name: getattr(manifest, name) for name in SINGLE}
    facts |= {f"{group}.{name}": value for group in GROUPS for name, value in getattr(manifest, group).items()}
    for group in ("parity", "accuracy"):
        facts |= {f"int8.{group}.{name}": value for name, value in manifest.int8.get(group, {}).items()}
    return facts | {f"files.{name}": entry["sha256"] for name, entry in manifest.files.items()}


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
