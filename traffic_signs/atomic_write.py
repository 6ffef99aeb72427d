"""Atomic writes: a reader sees the old file or folder, or the complete new one. Synced writes survive a power cut."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; at the end of the block that file replaces `path`.

    If the block raises, `path` is unchanged and the temporary file is removed.

    Raises:
        OSError: the file cannot be moved to `path`.
    """
    staging = _staging(path)
    try:
        yield staging
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a text, whole or not at all."""
    with atomic_write(path) as staging:
        staging.write_text(text)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`; at the end of the block it becomes `path`.

    If the block raises, or has removed the folder, no `path` appears. Folders of killed processes are removed first.

    Raises:
        OSError: the folder cannot be made, or `path` is a file or a folder with content.
    """
    staging = _staging(path)
    shutil.rmtree(staging, ignore_errors=True)  # in a container every process may have the same id
    _remove_leftovers(path)
    staging.mkdir(parents=True)
    try:
        yield staging
        if staging.exists():
            staging.rename(path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file through to the disk; makes its folder if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _staging(path: Path) -> Path:
    return path.with_name(f".staging-{path.name}-{os.getpid()}")


def _remove_leftovers(path: Path) -> None:
    """Removes the staging folders of `path` whose process no longer exists."""
    for leftover in path.parent.glob(f".staging-{glob.escape(path.name)}-*"):
        try:
            os.kill(int(leftover.name.rpartition("-")[2]), 0)
        except (ValueError, ProcessLookupError):
            shutil.rmtree(leftover, ignore_errors=True)
        except PermissionError:
            pass  # another user's running process
