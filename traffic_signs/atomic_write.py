"""Files that somebody may read while they are written: there as they were before, or whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives the path of a file beside `path` to write, which takes that one's place after the block.

    Where the block raises, `path` is as it was and nothing is left beside it.

    Raises:
        OSError: it cannot be put there.
    """
    staging = path.with_name(f".staging-{path.name}-{os.getpid()}")
    try:
        yield staging
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
