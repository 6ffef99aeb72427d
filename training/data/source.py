"""Files of a data set, whether it lies in a folder or still in its zip."""

import os
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path

from training.errors import DataError


class Source(ABC):
    """A read-only tree of files, addressed by path with forward slashes."""

    path: Path

    @property
    def name(self) -> str:
        """What the folder or zip is called, also where it was given as "."."""
        return self.path.absolute().name

    @abstractmethod
    def names(self) -> list[str]:
        """Returns the path of every file, sorted."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Returns a file's bytes; raises DataError where they cannot be had."""


class FolderSource(Source):
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Returns the path of every file below the folder, sorted; what is renamed or removed meanwhile is no error."""
        files = (Path(folder, name) for folder, _, names in os.walk(self.path) for name in names)
        return sorted(file.relative_to(self.path).as_posix() for file in files if file.is_file())

    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be read ({error.strerror}): check the file") from error


class ZipSource(Source):
    """A zip archive, read in place; one handle serves many threads, as zipfile locks each read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check the path and its rights") from error
        except (ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a whole zip archive ({error}): download it again") from error

    def names(self) -> list[str]:
        """Returns the path of every file in the archive, sorted."""
        return sorted(name for name in self._archive.namelist() if not name.endswith("/"))

    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""
        try:
            return self._archive.read(name)
        except Exception as error:  # zipfile lets the errors of every decoder through
            raise DataError(f"{self.path}: {name} is damaged ({error}): download the archive again") from error


def open_source(path: Path) -> Source:
    """Opens a folder or a zip archive.

    Raises:
        DataError: there is nothing at `path`, or it is neither a folder nor a zip.
    """
    try:
        if path.is_dir():
            return FolderSource(path)
        if path.is_file():
            return ZipSource(path)
    except OSError as error:  # a name that is too long, a folder above that may not be entered
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path and its rights") from error
    raise DataError(f"there is no data at {path}: give a folder or a zip archive that exists")
