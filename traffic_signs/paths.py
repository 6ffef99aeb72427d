"""Paths as people give them: `~` where no shell has expanded it, and folders that are linked."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# Of the environment, where no shell expands anything, and where a password could begin like a path.
VARIABLES = (
    "SIGNS_METRICS_DIR",
    "SIGNS_TRITONSERVER",
    "SIGNS_TRITON_BACKENDS",
    *(f"SIGNS_GATEWAY_{name}" for name in ("FEEDBACK", "KEYS", "TLS_AUTHORITY", "TLS_CERTIFICATE", "TLS_KEY")),
)


def expand(text: str) -> str:
    """Returns a path with the home folder in place of a leading `~` or `~user`; as it is where there is none."""
    return os.path.expanduser(text)  # noqa: PTH111 - unlike Path.expanduser, it takes any text and raises nothing


def expand_arguments(arguments: Sequence[str]) -> list[str]:
    """Returns arguments of a command line with `~/` expanded at their beginning and behind each `=`.

    A shell does so at the beginning alone, not in `--data=~/gtsdb` nor in `gtsdb=~/gtsdb`.
    """
    return [
        "=".join(expand(part) if part == "~" or part.startswith("~/") else part for part in each.split("="))
        for each in arguments
    ]


def expand_variables() -> None:
    """Expands `~/` at the beginning of the variables that hold a path."""
    for name in VARIABLES:
        if os.environ.get(name, "").startswith("~/"):
            os.environ[name] = expand(os.environ[name])


def walk(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yields each folder with the sorted names of the folders and of the other files in it, as `os.walk` does.

    It follows links, but not back into a folder that it is in. What cannot be looked into is passed over.

    Args:
        folder: to begin with. Names that the caller takes out of the list of folders are not entered.
        above: device and inode of the folders around it.
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
