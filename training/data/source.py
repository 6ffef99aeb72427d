"""Reads the files of a data set from a folder or a zip archive."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from traffic_signs.paths import walk
from training.errors import DataError


class Source(ABC):
    """A read-only tree of files, addressed by path with forward slashes."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the folder or zip, also if it was given as "."."""
        return self.path.absolute().name

    @abstractmethod
    def names(self) -> list[str]:
        """Returns the path of every file, sorted."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Returns a file's bytes; raises DataError if it cannot be read."""


class FolderSource(Source):
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Returns the path of every file below the folder, sorted; concurrent changes are no error."""
        files = (folder / name for folder, _, names in walk(self.path) for name in names)
        return sorted(file.relative_to(self.path).as_posix() for file in files if file.is_file())

    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be read ({error.strerror}): check the file") from error


class ZipSource(Source):
    """A zip archive, read without unpacking; zipfile locks each read, so threads can share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check the path and its rights") from error
        except (ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is not a whole zip archive ({error}): download it again") from error
        self._members = {member.filename: member for member in zip_members(self._archive)}

    def names(self) -> list[str]:
        """Returns the path of every file in the archive, sorted."""
        return sorted(name for name in self._members if not name.endswith("/"))

    def read(self, name: str) -> bytes:
        """Returns a file's bytes."""
        try:
            return self._archive.read(self._members[name])
        except Exception as error:  # zipfile also raises the errors of its decoders
            raise DataError(f"{self.path}: {name} is damaged ({error}): download the archive again") from error


def zip_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Returns the members of an archive with slashes in their names; some Windows tools write backslashes."""
    members = archive.infolist()
    for member in members:
        member.filename = member.filename.replace("\\", "/")
    return members


def inner_archive(names: Sequence[str]) -> str:
    """Returns a hint to unpack an archive among the files of a folder without a data set; empty without one."""
    inner = next((name for name in names if name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".7z"))), "")
    return f". It holds the archive {inner}: unpack that, and give what is in it" if inner else ""


def open_source(path: Path) -> Source:
    """Opens a folder or a zip archive; raises DataError if `path` does not exist, or is neither."""
    try:
        if path.is_dir():
            return FolderSource(path)
        if path.is_file():
            return ZipSource(path)
    except OSError as error:  # such as a name that is too long or a parent folder without access
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path and its rights") from error
    raise DataError(f"there is no data at {path}: give a folder or a zip archive that exists")
