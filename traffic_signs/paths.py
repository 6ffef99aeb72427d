"""Paths from users: expands `~` if no shell has done so, and walks folders through symbolic links."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Environment variables that hold paths. Others stay as they are: a password may begin with "~/".
VARIABLES = (
    "SIGNS_METRICS_DIR",
    "SIGNS_TRITONSERVER",
    "SIGNS_TRITON_BACKENDS",
    *(f"SIGNS_GATEWAY_{name}" for name in ("FEEDBACK", "KEYS", "TLS_AUTHORITY", "TLS_CERTIFICATE", "TLS_KEY")),
)


def expand(text: str) -> str:
    """Returns a path with a leading `~` or `~user` replaced by the home folder, if there is one."""
    return os.path.expanduser(text)  # noqa: PTH111 - unlike Path.expanduser, it takes any text and raises nothing


def expand_arguments(arguments: Sequence[str]) -> list[str]:
    """Returns command-line arguments with `~/` expanded at the beginning and after each `=`.

    A shell expands it only at the beginning, not in `--data=~/gtsdb` or `gtsdb=~/gtsdb`.
    """
    return [
        "=".join(expand(part) if part == "~" or part.startswith("~/") else part for part in each.split("="))
        for each in arguments
    ]


def expand_variables() -> None:
    """Expands a leading `~/` in the environment variables listed in VARIABLES."""
    for name in VARIABLES:
        if os.environ.get(name, "").startswith("~/"):
            os.environ[name] = expand(os.environ[name])


def walk(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yields each folder with the sorted names of its subfolders and of its other files, like `os.walk`.

    It follows symbolic links, except back into a folder on the way to them. Unreadable folders are skipped.

    Args:
        folder: where to start. The caller may remove names from the list of subfolders to skip them.
        above: device and inode of each folder on the way to `folder`.
    """
    try:
        found = folder.stat()
        with os.scandir(folder) as entries:
            is_folder = {entry.name: entry.is_dir() for entry in entries}
    except OSError:
        return
    identity = (found.st_dev, found.st_ino)
    if identity in above:
        return
    folders = sorted(name for name, is_one in is_folder.items() if is_one)
    yield folder, folders, sorted(name for name, is_one in is_folder.items() if not is_one)
    for name in folders:
        yield from walk(folder / name, above | {identity})
