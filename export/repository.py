"""The Triton model repository: numbered versions, each with a manifest, moved into place in one rename."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from export.errors import RepositoryError

MANIFEST = "manifest.json"
LAST_VERSION = ".last-version"  # the highest number ever given out


@dataclass(frozen=True)
class Manifest:
    """What a version is and where it comes from; stands beside the model file, and Triton ignores it.

    Attributes:
        model: its name in the repository.
        version: its number.
        files: for each file of the version, `sha256` and `size` in bytes.
        source: MLflow run, git commit and checkpoint the weights come from.
        data: name and fingerprint of the training data.
        opset: of the ONNX graph; None for a model that is none.
        ir_version: of the ONNX file; likewise.
        precision: of the weights; empty for a model without.
        inputs: name, datatype and shape of each; -1 is any.
        outputs: likewise.
        parity: how far the exported model is from the trained one.
        metrics: evaluation figures by name.
        created: time of publishing, ISO 8601, UTC.
    """

    model: str
    version: int
    files: dict[str, dict[str, Any]]
    source: dict[str, str]
    data: dict[str, str]
    opset: int | None
    ir_version: int | None
    precision: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    parity: dict[str, float]
    metrics: dict[str, float]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def versions(repository: Path, model: str) -> list[int]:
    """Returns the numbers of a model's versions, oldest first; none for a model that is not there."""
    folder = repository / model
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit())


def publish(
    repository: Path, model: str, files: dict[str, bytes], shared: dict[str, str], facts: dict[str, Any]
) -> Manifest:
    """Adds a version to the repository.

    The version is written beside the others under a name that Triton does not read, verified, and then renamed
    to the next free number. Whoever reads the repository, or kills this process, finds a whole version or none.

    Args:
        repository: folder of all models; made where it is missing.
        model: name of the model.
        files: content of each file of the version, by name.
        shared: content of the files that all versions share (config.pbtxt, labels.txt), by name.
        facts: the other fields of the manifest.

    Returns:
        The manifest of the new version.

    Raises:
        RepositoryError: the repository cannot be written; it is as it was.
    """
    folder = repository / model
    staging: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=folder))
        staging.chmod(0o755)  # mkdtemp keeps others out, but the server may run as another user
        for name, content in files.items():
            _write(staging / name, content)
        described = {name: _describe(content) for name, content in files.items()}
        for name, text in shared.items():
            _replace(folder / name, text.encode())
        while True:
            version = _next_version(folder)
            # Spent before it is used: a version that is removed later does not give its number to another.
            _replace(folder / LAST_VERSION, f"{version}\n".encode())
            manifest = Manifest(model=model, version=version, files=described, **facts)
            _write(staging / MANIFEST, (json.dumps(asdict(manifest), indent=2) + "\n").encode())
            verify_files(staging, manifest)
            try:
                staging.rename(folder / str(version))
            except OSError:
                if not (folder / str(version)).exists():
                    raise
                continue  # another publisher took the number: take the next
            _sync_folder(folder)
            return manifest
    except OSError as error:
        raise RepositoryError(
            f"cannot publish to {folder} ({error.strerror or error}): check the path, its rights and the free space"
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def withdraw(repository: Path, model: str, version: int) -> None:
    """Takes a version back out of the repository, in one rename; its number stays spent.

    Raises:
        RepositoryError: it is not there, or cannot be removed.
    """
    folder = repository / model
    grave = folder / f".staging-withdrawn-{version}-{os.getpid()}"
    try:
        (folder / str(version)).rename(grave)
    except OSError as error:
        raise RepositoryError(f"cannot withdraw {folder / str(version)} ({error.strerror})") from error
    shutil.rmtree(grave, ignore_errors=True)


def load_manifest(repository: Path, model: str, version: int) -> Manifest:
    """Reads the manifest of a version.

    Raises:
        RepositoryError: there is none, or it is damaged.
    """
    path = repository / model / str(version) / MANIFEST
    try:
        return Manifest(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise RepositoryError(f"{path} cannot be read: {error}") from error


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Checks every file of a version against its manifest.

    Raises:
        RepositoryError: a file is missing or altered.
    """
    for name, expected in manifest.files.items():
        try:
            found = _describe((folder / name).read_bytes())
        except OSError as error:
            raise RepositoryError(f"{folder / name} cannot be read: {error.strerror}") from error
        if found != expected:
            raise RepositoryError(
                f"{folder / name} is not the file that was published (sha256 {found['sha256'][:12]}, "
                f"the manifest says {expected['sha256'][:12]}): publish the model again"
            )


def _next_version(folder: Path) -> int:
    taken = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    with contextlib.suppress(FileNotFoundError, ValueError):
        taken.append(int((folder / LAST_VERSION).read_text()))
    return max(taken, default=0) + 1


def _describe(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return  # a server that polls would reload the model for a new time stamp
    descriptor, name = tempfile.mkstemp(prefix=".staging-", dir=path.parent)
    os.close(descriptor)
    staging = Path(name)
    try:
        staging.chmod(0o644)
        _write(staging, content)
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
