"""Small versions for the tests of the repository: the files are no models, all else is as in earnest."""

from pathlib import Path
from typing import Any

from export.repository import Manifest, publish
from export.repository.signing import Signer
from export.repository.store import Store

FACTS: dict[str, Any] = {
    "source": {"git_commit": "c" * 40},
    "data": {"name": "none", "fingerprint": "0" * 64},
    "opset": 20,
    "ir_version": 10,
    "precision": "fp32",
    "metrics": {"accuracy": 0.5},
}
LABELS = "labels.txt"


def config(batch: int = 64) -> str:
    # No server is to load these files, and publishing takes none for ONNX.
    return (
        f'name: "m"\nbackend: "none"\nmax_batch_size: {batch}\n'
        f'output {{ name: "p" data_type: TYPE_FP32 dims: 2 label_filename: "{LABELS}" }}\n'
        "version_policy { latest { num_versions: 1 } }\n"
    )


def shared(batch: int = 64, labels: str = "a\nb\n") -> dict[str, str]:
    return {"config.pbtxt": config(batch), LABELS: labels}


def publish_once(
    repository: str | Path | Store,
    content: bytes = b"weights",
    batch: int = 64,
    signer: Signer | None = None,
    **facts: Any,
) -> Manifest:
    return publish(repository, "m", {"model.onnx": content}, shared(batch), {**FACTS, **facts}, signer)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def tree(folder: Path) -> dict[str, bytes]:
    """Returns the content of every file below a folder but the lock; empty for a folder that is not there."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
