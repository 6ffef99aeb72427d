"""Atomic writes: a reader sees the old file or folder, or the complete new one."""

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
