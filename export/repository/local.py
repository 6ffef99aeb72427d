"""A repository in a folder: versions appear in one rename, one writer at a time holds a lock."""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from export.errors import RepositoryError
from export.repository.manifest import version_number
from export.repository.policy import CONFIG, CONFIGS
from traffic_signs.atomic_write import atomic_write, sync_folder, write_synced
from traffic_signs.progress import Advance, ProgressCallback, silent

LAST_VERSION = ".last-version"  # the highest number ever given out
LOCK = ".lock"
STAGING = ".staging-"  # as `atomic_write` begins its names, too


class LocalStore:
    """A `Store` in a folder of this machine; the protocol describes its methods."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name = str(root)

    def models(self) -> list[str]:
        if not self.root.is_dir():
            raise RepositoryError(f"there is no repository at {self.root}: check the path, or publish something first")
        folders = (entry for entry in self.root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        return sorted(entry.name for entry in folders if (entry / CONFIG).exists() or self.versions(entry.name))

    def versions(self, model: str) -> list[int]:
        folder = self.root / model
        if not folder.is_dir():
            return []
        numbers = (version_number(entry.name) for entry in folder.iterdir() if entry.is_dir())
        return sorted(number for number in numbers if number is not None)

    def files(self, model: str, version: int) -> dict[str, int]:
        folder = self.root / model / str(version)
        paths = (path for path in folder.rglob("*") if not path.is_dir())
        return {path.relative_to(folder).as_posix(): path.lstat().st_size for path in sorted(paths)}

    def shared_files(self, model: str) -> list[str]:
        folder = self.root / model
        entries = [*folder.iterdir(), *folder.glob(f"{CONFIGS}/*")] if folder.is_dir() else []
        return sorted(entry.relative_to(folder).as_posix() for entry in entries if entry.is_file())

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def replace(self, path: str, content: bytes) -> None:
        target = self.root / path
        if target.exists() and target.read_bytes() == content:
            return  # a server that polls would reload the model for a new time stamp
        target.parent.mkdir(exist_ok=True)
        with atomic_write(target) as staged:
            write_synced(staged, content)
        sync_folder(target.parent)

    def create(self, path: str, content: bytes) -> None:
        """Writes a file that must be new, in one rename; under the lock."""
        if (self.root / path).exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.replace(path, content)

    def discard(self, path: str) -> None:
        (self.root / path).unlink()
        sync_folder((self.root / path).parent)

    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (self.root / path).open("rb") as source, target.open("wb") as copy:
            while piece := source.read(1 << 20):
                copy.write(piece)
                advance(len(piece))
            copy.flush()
            os.fsync(copy.fileno())

    @contextlib.contextmanager
    def folder(self, model: str, version: int, progress: ProgressCallback = silent) -> Iterator[Path]:
        """Yields the folder of a version itself."""
        yield self.root / model / str(version)

    @contextlib.contextmanager
    def staging(self, model: str) -> Iterator[Path]:
        """Yields an empty folder on the same file system."""
        self.root.mkdir(parents=True, exist_ok=True)
        parent = staging_parent(self.root)
        made = None
        if parent is None:
            # In the folder of a model, where Triton ignores it; of another model if this one is new, because Triton
            # does not start on a model without a version.
            others = (path.parent for path in sorted(self.root.glob(f"*/{CONFIG}")))
            parent = next((path for path in (self.root / model, *others) if path.is_dir()), None)
        if parent is None:
            parent = made = self.root / model
            parent.mkdir(exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=staging_prefix(self.root), dir=parent))
        try:
            staged.chmod(0o755)  # mkdtemp keeps others out, but the server may run as another user
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            if made is not None:
                with contextlib.suppress(OSError):  # it has a version now, or another's staging
                    made.rmdir()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other writers out; the kernel releases the lock when its holder dies, however it dies."""
        with (self.root / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self, model: str, number: int | None) -> int:
        """Takes a number; under the lock."""
        folder = self.root / model
        taken = [0]
        if folder.is_dir():
            taken += [version_number(entry.name) or 0 for entry in folder.iterdir()]
            with contextlib.suppress(FileNotFoundError, ValueError):
                taken.append(int((folder / LAST_VERSION).read_text()))
        last = max(taken)
        if number is not None and number <= last:
            raise RepositoryError(f"{self.name} has used the numbers of {model} up to {last}: give a higher one")
        version = number or last + 1
        if folder.is_dir():
            # Recorded before use, so that the number of a version that is removed later is not given out again.
            self.replace(f"{model}/{LAST_VERSION}", f"{version}\n".encode())
        return version

    def commit(
        self, staged: Path, model: str, version: int, shared: dict[str, bytes], progress: ProgressCallback = silent
    ) -> None:
        """Moves a prepared folder into place, for a new model together with the files beside it."""
        folder = self.root / model
        for path in (*staged.rglob("*/"), staged):
            sync_folder(path)
        if folder.is_dir():
            if not self.versions(model):  # the folder was made for staging; its first version comes after what it needs
                for name in sorted(shared, key=lambda name: name == CONFIG):
                    self.replace(f"{model}/{name}", shared[name])
            staged.rename(folder / str(version))
            sync_folder(folder)
            return
        # A server that polls must not find a model without a configuration, or without a version.
        with self.staging(model) as whole:
            for name, content in {**shared, LAST_VERSION: f"{version}\n".encode()}.items():
                write_synced(whole / name, content)
            staged.rename(whole / str(version))
            sync_folder(whole)
            whole.rename(folder)
        sync_folder(self.root)

    def remove(self, model: str, version: int) -> None:
        """Removes a version in one rename, then deletes its files."""
        with self.staging(model) as grave:
            (self.root / model / str(version)).rename(grave / str(version))

    def sweep(self, model: str, older_than_s: float) -> list[str]:
        """Removes the staging folders and files of all models that are older than this."""
        swept = []
        beside = staging_parent(self.root)
        leftovers = [*self.root.glob(f"*/{STAGING}*"), *(self.root / model).glob(f"*/{STAGING}*")]
        leftovers += beside.glob(f"{staging_prefix(self.root)}*") if beside else []
        for path in sorted(leftovers):
            if time.time() - path.lstat().st_mtime >= older_than_s:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                swept.append(str(path))
        return swept


def staging_parent(root: Path) -> Path | None:
    """Returns the parent of a repository, None if nothing can be renamed from there into it.

    A polling server would take a staging folder inside for a model, or reload the model that has it.
    """
    root = root.resolve()
    parent = next(path for path in root.parents if path.exists())
    same_device = not root.exists() or parent.stat().st_dev == root.stat().st_dev
    return parent if same_device and os.access(parent, os.W_OK | os.X_OK) else None


def staging_prefix(root: Path) -> str:
    """Returns how the names of a repository's staging folders begin."""
    return f"{STAGING}{root.resolve().name}-"
