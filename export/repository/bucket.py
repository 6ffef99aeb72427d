"""A repository in an object store: a version exists once its manifest does, and numbers are taken by creating a key.

Nothing can be renamed there, so manifest.json is uploaded after all files of a version, and readers ignore versions
without one. Triton does not, so it must serve what `signs repository pull` has fetched.
"""

import contextlib
import errno
import json
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.manifest import MANIFEST, SIGNATURE, describe, parse_manifest, stays_inside, version_number
from export.repository.policy import CONFIGS
from traffic_signs.progress import Advance, ProgressCallback, counting, silent

ATTEMPTS = 5
CLAIM = "claim-"  # claim-N: the number N is taken
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class BucketStore:
    """A `Store` in S3, Google Cloud or Azure Blob Storage, through fsspec; the protocol describes its methods."""

    def __init__(self, url: str, extra: str) -> None:
        try:
            import fsspec

            self._files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        except ImportError as error:
            raise RepositoryError(f"the library for {url} is not installed: pip install '.[{extra}]'") from error
        except Exception as error:  # the libraries of the stores have no common base for their errors
            raise RepositoryError(f"cannot open {url} ({error}): check the address and your credentials") from error
        self._root: str = root.rstrip("/")
        self.name = url.rstrip("/")

    def models(self) -> list[str]:
        names = set()
        for path in self._find(""):
            model, _, rest = path.partition("/")
            if rest == "config.pbtxt" or re.fullmatch(r"[1-9]\d*/" + re.escape(MANIFEST), rest):
                names.add(model)
        return sorted(names)

    def versions(self, model: str) -> list[int]:
        """Returns the numbers of a model's versions that have their manifest, oldest first."""
        found = (path.split("/") for path in self._find(model))
        numbers = (version_number(parts[1]) for parts in found if parts[2:] == [MANIFEST])
        return sorted(number for number in numbers if number is not None)

    def files(self, model: str, version: int) -> dict[str, int]:
        prefix = f"{model}/{version}/"
        return {path.removeprefix(prefix): info["size"] for path, info in self._find(prefix.rstrip("/")).items()}

    def shared_files(self, model: str) -> list[str]:
        inside = (path.partition("/")[2] for path in self._find(model))
        return sorted(path for path in inside if "/" not in path.removeprefix(f"{CONFIGS}/"))

    def read(self, path: str) -> bytes:
        with self._clear_errors(f"read {path} from"):
            content: bytes = self._files.cat_file(self._key(path))
            return content

    def replace(self, path: str, content: bytes) -> None:
        """Writes an object, which the store does whole or not at all; leaves it alone if nothing changes."""
        with contextlib.suppress(FileNotFoundError):
            if self.read(path) == content:
                return
        with self._clear_errors(f"write {path} to"):
            self._files.pipe_file(self._key(path), content)

    def create(self, path: str, content: bytes) -> None:
        """Writes an object that must be new (If-None-Match: * and its likes)."""
        with self._clear_errors(f"write {path} to"):
            for attempt in range(ATTEMPTS):
                try:
                    self._files.pipe_file(self._key(path), content, mode="create")
                    return
                except FileExistsError:
                    # If the answer to a first attempt was lost, this is the second, and the object is ours.
                    if self._files.cat_file(self._key(path)) != content:
                        raise
                    return
                except OSError as error:
                    # The answer of S3 while another writes the same object: try again.
                    if "ConditionalRequestConflict" not in repr(error.__cause__) or attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(0.2 * (attempt + 1))

    def discard(self, path: str) -> None:
        """Deletes an object, if it is there."""
        with self._clear_errors(f"delete {path} from"), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._key(path))

    def fetch(self, path: str, target: Path, advance: Advance) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._clear_errors(f"read {path} from"):
            self._files.get_file(self._key(path), str(target), callback=_callback(advance))
        with target.open("rb") as file:
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def folder(self, model: str, version: int, progress: ProgressCallback = silent) -> Iterator[Path]:
        """Downloads a version into a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="signs-version-") as scratch:
            folder = Path(scratch) / str(version)
            sizes = self.files(model, version)
            advance = counting(progress, f"downloading {model} {version}", sum(sizes.values()))
            for name in sizes:
                if not stays_inside(name):
                    raise RepositoryError(f"{self.name}/{model}/{version} has a file {name!r}: remove it")
                self.fetch(f"{model}/{version}/{name}", folder / name, advance)
            yield folder

    @contextlib.contextmanager
    def staging(self, model: str) -> Iterator[Path]:
        """Yields an empty folder of this machine."""
        with tempfile.TemporaryDirectory(prefix="signs-staging-") as scratch:
            yield Path(scratch)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Does nothing: a lock in an object store outlives a holder that is killed."""
        yield

    def claim(self, model: str, number: int | None) -> int:
        """Takes a number by creating `claim-N`, which stays for ever."""
        taken = [0]
        for path in self._find(model):
            name = path.split("/")[1]
            taken.append(version_number(name.removeprefix(CLAIM)) or 0)
        last = max(taken)
        if number is not None and number <= last:
            raise RepositoryError(f"{self.name} has used the numbers of {model} up to {last}: give a higher one")
        version = number or last + 1
        while True:
            try:
                self.create(f"{model}/{CLAIM}{version}", _token())
                break
            except FileExistsError:
                if number is not None:
                    raise RepositoryError(f"another publisher took {model} {number}: give a higher one") from None
                version += 1
        self._check_condition(f"{model}/{CLAIM}{version}")
        return version

    def commit(
        self, staged: Path, model: str, version: int, shared: dict[str, bytes], progress: ProgressCallback = silent
    ) -> None:
        """Uploads a prepared folder, reads it back, and creates its manifest last."""
        manifest = parse_manifest((staged / MANIFEST).read_bytes(), str(staged / MANIFEST))
        names = [*manifest.files, *([SIGNATURE] if (staged / SIGNATURE).exists() else [])]
        total = 2 * sum((staged / name).stat().st_size for name in names)  # each file is uploaded and read back
        advance = counting(progress, f"uploading {model} {version}", total)
        with tempfile.TemporaryDirectory(prefix="signs-check-") as scratch, contextlib.ExitStack() as undo:
            for name in names:
                path, back = f"{model}/{version}/{name}", Path(scratch) / "back"
                undo.callback(self._try_to_delete, path)
                with self._clear_errors(f"write {path} to"):
                    self._files.put_file(str(staged / name), self._key(path), callback=_callback(advance))
                self.fetch(path, back, advance)
                if describe(back) != describe(staged / name):
                    raise RepositoryError(f"{self.name} gave back other bytes of {name} than were sent: publish again")
            undo.pop_all()
        self.create(f"{model}/{version}/{MANIFEST}", (staged / MANIFEST).read_bytes())

    def remove(self, model: str, version: int) -> None:
        """Deletes the manifest of a version first and then the rest."""
        names = self.files(model, version)
        if MANIFEST not in names:
            raise FileNotFoundError(2, "no such version", f"{self.name}/{model}/{version}")
        for name in (MANIFEST, *(name for name in names if name != MANIFEST)):
            self.discard(f"{model}/{version}/{name}")

    def sweep(self, model: str, older_than_s: float) -> list[str]:
        """Deletes uploads without a manifest whose newest file is older than this."""
        whole = set(self.versions(model))
        leftovers: dict[int, list[str]] = {}
        for path in self._find(model):
            parts = path.split("/")
            number = version_number(parts[1]) if len(parts) > 2 else None
            if number is not None and number not in whole:
                leftovers.setdefault(number, []).append(path)
        swept = []
        for paths in leftovers.values():
            with self._clear_errors("read times from"):
                newest = max(self._files.modified(self._key(path)).timestamp() for path in paths)
            if time.time() - newest >= older_than_s:
                for path in paths:
                    self.discard(path)
                    swept.append(f"{self.name}/{path}")
        return swept

    def _check_condition(self, path: str) -> None:
        """Refuses a store that overwrites instead of creating: two publishers could take one number."""
        try:
            with self._clear_errors(f"write {path} to"):
                self._files.pipe_file(self._key(path), _token(), mode="create")
        except FileExistsError:
            return
        raise RepositoryError(
            f"{self.name} overwrites an object although it was asked to create a new one (If-None-Match), so two "
            "publishers could take the same number: use a store with conditional writes"
        )

    def _find(self, path: str) -> dict[str, dict[str, Any]]:
        """Returns what is under a path, by path relative to the root."""
        with self._clear_errors("list"):
            try:
                found: dict[str, dict[str, Any]] = self._files.find(self._key(path), detail=True)
            except FileNotFoundError as error:
                raise RepositoryError(f"{self.name} is not there ({error}): check the name of the bucket") from error
        prefix = f"{self._root}/"
        # A path that ends with a slash is a folder that a web console made.
        paths = {key.removeprefix(prefix): info for key, info in found.items()}
        return {path: info for path, info in paths.items() if "/" in path and not path.endswith("/")}

    def _try_to_delete(self, path: str) -> None:
        with contextlib.suppress(Exception):  # it has no manifest: `sweep` will find what stays
            self.discard(path)

    def _key(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/")

    @contextlib.contextmanager
    def _clear_errors(self, doing: str) -> Iterator[None]:
        """Turns the errors of a library into one clear error, except those that callers handle."""
        try:
            yield
        except (FileNotFoundError, FileExistsError, RepositoryError):
            raise
        except PermissionError as error:
            raise RepositoryError(
                f"may not {doing} {self.name} ({error}): check your credentials and the rights on the bucket"
            ) from error
        except Exception as error:  # the libraries of the stores have no common base for their errors
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise  # that of this machine
            raise RepositoryError(
                f"cannot {doing} {self.name} ({error}): check the address, the network and your credentials"
            ) from error


def _callback(advance: Advance) -> Any:
    from fsspec.callbacks import Callback

    class Progress(Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            advance(inc)

    return Progress()


def _token() -> bytes:
    return json.dumps({"claimed_by": uuid.uuid4().hex}).encode() + b"\n"
