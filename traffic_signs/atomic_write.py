"""Atomic writes: a reader sees the old file or the complete new one."""

import os
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
    staging = path.with_name(f".staging-{path.name}-{os.getpid()}")
    try:
        yield staging
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
