"""Paths that Triton can use.

Triton starts the stub of a Python model through a shell without quoting, and the stub's isolated interpreter encodes
file names as ASCII. With a space, a bracket or an umlaut in the path, no Python model loads.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from serving.errors import ServingError

# Characters that need no quoting in a shell, no escaping in a list of paths, and are ASCII.
SAFE = re.compile(r"[A-Za-z0-9/._+@-]+")
FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")  # if TMPDIR itself is not safe


class SafePaths:
    """Maps paths to names that Triton can use: the path itself if it is safe, else a link that ends with `stack`."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._folder: Path | None = None
        self._links: dict[Path, Path] = {}

    def safe(self, path: Path) -> Path:
        """Returns an absolute path to the same file or folder that Triton can use.

        Raises:
            ServingError: no folder of this machine can hold the link.
        """
        path = path.resolve()
        if SAFE.fullmatch(str(path)):
            return path
        if path not in self._links:
            self._folder = self._folder or self._stack.enter_context(_private_folder(path))
            link = self._folder / str(len(self._links))
            link.symlink_to(path)
            self._links[path] = link
        return self._links[path]

    def original(self, text: str) -> str:
        """Replaces links by the original paths in a message of Triton."""
        for path, link in self._links.items():
            text = text.replace(str(link), str(path))
        return text


def check_model_names(repository: Path) -> None:
    """Checks the names of the model folders, which are the models' names and cannot be replaced by links.

    Raises:
        ServingError: Triton cannot load a model of such a name.
    """
    for config in sorted(repository.glob("*/config.pbtxt")):
        if not SAFE.fullmatch(config.parent.name):
            raise ServingError(
                f"{config.parent}: Triton cannot load a model of this name: rename the folder, and `name` in its "
                "config.pbtxt, to letters a-z, digits, _ and -"
            )


@contextlib.contextmanager
def _private_folder(path: Path) -> Iterator[Path]:
    for parent in (tempfile.gettempdir(), *FALLBACKS):
        if SAFE.fullmatch(parent):
            with contextlib.suppress(OSError):
                folder = tempfile.TemporaryDirectory(prefix="signs-", dir=parent)
                break
    else:
        raise ServingError(
            f"Triton cannot use the path {path}, and no folder for a link to it can be made in {', '.join(FALLBACKS)}: "
            "move it to a path of letters a-z, digits, _ and -, or set TMPDIR to such a folder"
        )
    with folder as name:
        yield Path(name)
