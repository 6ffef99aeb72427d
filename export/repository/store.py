"""Where a repository is: a folder, or a bucket of an object store, with one interface for both."""

import os
import shlex
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from export.errors import RepositoryError
from export.repository.bucket import BucketStore
from export.repository.local import LocalStore
from traffic_signs.progress import Advance, ProgressCallback, silent
from traffic_signs.settings import DEFAULT_REPOSITORY

BUCKETS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


class Store(Protocol):
    """A repository's files. Paths are relative to its root, with `/` between their parts; `name` is as users write it.

    Missing files raise FileNotFoundError; other failures raise RepositoryError or another OSError.
    """

    name: str

    def models(self) -> list[str]:
        """Returns the names of all models, sorted."""

    def versions(self, model: str) -> list[int]:
        """Returns the numbers of a model's whole versions, oldest first; none for a model that is not there."""

    def files(self, model: str, version: int) -> dict[str, int]:
        """Returns the size in bytes of everything in the folder of a version, by its path in there."""

    def shared_files(self, model: str) -> list[str]:
        """Returns the paths of the files that lie beside the versions, and in the folder `configs` there."""

    def read(self, path: str) -> bytes:
        """Returns the content of a file."""

    def replace(self, path: str, content: bytes) -> None:
        """Writes a file so that a reader finds the old content or the new; leaves it alone if nothing changes."""

    def create(self, path: str, content: bytes) -> None:
        """Writes a file that must be new; raises FileExistsError if it exists."""

    def discard(self, path: str) -> None:
        """Deletes a file that `create` has just made."""

    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        """Copies a file to a place on this machine, through to the disk."""

    def folder(self, model: str, version: int, progress: ProgressCallback = silent) -> AbstractContextManager[Path]:
        """Yields the folder of a version to read from: itself, or a temporary copy."""

    def staging(self, model: str) -> AbstractContextManager[Path]:
        """Yields an empty folder to prepare a version in, and removes the rest of it after the block."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other writers out if the store has locks; elsewhere `claim` and `create` decide who was first."""

    def claim(self, model: str, number: int | None) -> int:
        """Takes a number, or the next one, for ever; raises RepositoryError if it was given out before."""

    def commit(
        self, staged: Path, model: str, version: int, shared: dict[str, bytes], progress: ProgressCallback = silent
    ) -> None:
        """Makes a prepared folder, with its manifest, the version of a claimed number.

        `shared` has the files to write beside the versions if the model is new.
        """

    def remove(self, model: str, version: int) -> None:
        """Removes a version: readers lose it before its first file."""

    def sweep(self, model: str, older_than_s: float) -> list[str]:
        """Removes leftovers of interrupted work on a model that are older than this; returns their names.

        A folder loses those of all its models, because a new version may be prepared in another model's folder.
        """


def require_folder(where: Path, instead: str) -> Path:
    """Returns a path of this machine, for work that needs a folder.

    Raises RepositoryError with the fix `instead` for the address of a bucket; as a path it has lost one of two slashes.
    """
    scheme, _, rest = str(where).partition(":/")
    if scheme in BUCKETS:
        raise RepositoryError(f"{scheme}://{rest.lstrip('/')} is in a bucket, and this takes a folder: {instead}")
    return where


def repository_flag(where: "str | Path", option: str = "-r") -> str:
    """Returns the option of a command for a repository, ` -r PLACE`; nothing for the default repository."""
    return "" if str(where) == DEFAULT_REPOSITORY else f" {option} {shlex.quote(str(where))}"


# A folder, an address such as s3://BUCKET/PREFIX, or what `open_store` returns: the repository of all models.
RepositoryLike = str | Path | Store


def open_store(where: RepositoryLike) -> Store:
    """Opens a repository, in a folder or at s3://BUCKET/PREFIX, gs://..., az://...; nothing is read or made yet.

    Raises:
        RepositoryError: it is a file, the address is of another kind, or the library for it is not installed.
    """
    if not isinstance(where, str | Path):
        return where
    scheme, separator, rest = str(where).partition("://")
    if not separator:
        if os.path.isfile(where):  # noqa: PTH113 - unlike Path.is_file, it takes any text
            raise RepositoryError(f"{where} is a file: give the folder of a repository")
        return LocalStore(Path(where))
    if scheme == "oci":
        raise RepositoryError(
            f"{where} is in a registry, and this takes a folder or a bucket: `signs repository pull` brings versions "
            "from there, and `signs repository push` puts them there"
        )
    if scheme not in BUCKETS or not rest.strip("/"):
        raise RepositoryError(
            f"{where} cannot be a repository: give a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
            "az://CONTAINER/PREFIX"
        )
    return BucketStore(str(where), BUCKETS[scheme])
