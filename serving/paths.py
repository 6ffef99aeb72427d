"""Paths as Triton can use them.

Triton starts the stub of a Python model through a shell and quotes nothing, and the stub's interpreter, which is in
isolated mode, encodes names as ASCII: a space, a bracket or an umlaut in a path keeps every model from loading.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from serving.errors import ServingError

# Neither a shell, nor a list of paths with colons, nor an interpreter with an ASCII locale stumbles over these.
SAFE = re.compile(r"[A-Za-z0-9/._+@-]+")
FALLBACKS = ("/tmp", "/var/tmp", "/dev/shm")  # where TMPDIR itself is not safe


class SafePaths:
    """Gives any path a name that Triton can use: its own where that is safe, or a link in a private folder.

    Args:
        stack: removes the folder when it closes.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._folder: Path | None = None
        self._links: dict[Path, Path] = {}

    def safe(self, path: Path) -> Path:
        """Returns an absolute path of the same file or folder that Triton can use.

        Raises:
            ServingError: this machine has no place for the link.
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
        """Returns what Triton says with the paths that people know in place of the links."""
        for path, link in self._links.items():
            text = text.replace(str(link), str(path))
        return text


def check_model_names(repository: Path) -> None:
    """Refuses a model whose folder has a name that no link can make safe: it is the model's name, too.

    Raises:
        ServingError: there is one.
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
