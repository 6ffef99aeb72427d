"""Adds versions to a repository, whole or not at all, and removes them."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.class_names import read_class_names, require_same_class_names
from export.repository.fatal_values import check_values
from export.repository.fetching import fetch_version
from export.repository.manifest import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    check_model_name,
    clear_errors,
    describe,
    files_in,
    now,
    verify_files,
    version_number,
)
from export.repository.onnx_file import check_onnx
from export.repository.policy import CONFIG, companions, config_paths, read_config
from export.repository.promotion import (
    champion,
    follow,
    followed,
    hold,
    present_configs,
    read_manifest,
    require_version,
)
from export.repository.signing import Signer
from export.repository.store import RepositoryLike, Store, open_store
from traffic_signs.atomic_write import write_synced
from traffic_signs.progress import ProgressCallback, counting, silent


def versions(repository: RepositoryLike, model: str) -> list[int]:
    """Returns the numbers of a model's versions, oldest first; none for a model that is not there."""
    return open_store(repository).versions(model)


def load_manifest(repository: RepositoryLike, model: str, version: int) -> Manifest:
    """Reads the manifest of a version; raises RepositoryError if it is missing or damaged."""
    store = open_store(repository)
    try:
        return read_manifest(store, model, version)
    except OSError as error:
        where = f"{store.name}/{model}/{version}/{MANIFEST}"
        raise RepositoryError(f"{where} cannot be read: {error.strerror or error}") from error


def publish(
    repository: RepositoryLike,
    model: str,
    files: Mapping[str, bytes],
    shared: Mapping[str, str],
    facts: Mapping[str, Any],
    signer: Signer | None = None,
    *,
    other_classes: bool = False,
) -> Manifest:
    """Adds a version to the repository and returns its manifest.

    The version is prepared where Triton does not look, verified, and then appears at once under the next free
    number: a reader finds a whole version or none, even after a kill. Each version keeps its own copy of the shared
    files, with which it can be served again; those beside the versions are of the served one.

    Args:
        repository: folder or address of all models; a folder is made where it is missing.
        files: content of each file of the version, by name.
        shared: content of the files that Triton reads beside the versions (config.pbtxt, configs/gpu.pbtxt,
            labels.txt), by path.
        other_classes: publish it also if the champion, or else the newest version, has other class names.

    Raises:
        RepositoryError: the repository cannot be written, the configuration would end the server, or the class names
            differ; it is as it was.
    """
    contents = {**files, **{name: text.encode() for name, text in shared.items()}}
    store = open_store(repository)
    with clear_errors(f"publish to {store.name}/{check_model_name(model)}"), store.staging(model) as staged:
        for name, content in contents.items():
            write_synced(staged / name, content)
        return _add(store, Manifest(model, 0, {}, **facts), staged, signer, other_classes=other_classes)


def publish_copy(
    source: str | Path,
    repository: RepositoryLike,
    number: int | None = None,
    again: bool = False,
    signer: Signer | None = None,
    public_key: Path | None = None,
    progress: ProgressCallback = silent,
    *,
    if_new: bool = False,
    other_classes: bool = False,
) -> Manifest:
    """Adds a copy of a version of another repository under the next number, and returns its manifest.

    It keeps the provenance of the original. A version made by hand, without a manifest, gets one that lists its files.

    Args:
        source: folder or address of the version: REPOSITORY/MODEL/N.
        number: for the copy, higher than any before; the next one for None.
        again: copy even if a version with the same files is there.
        signer: signs the copy, whose manifest differs from the original's.
        if_new: return a version with the same files instead of raising.
        other_classes: copy also if the champion, or else the newest version, has other class names.

    Raises:
        RepositoryError: the source is damaged, not signed so, here already, or an ONNX file that the serving image
            cannot load; its configuration would end the server; its class names differ; or the repository cannot be
            written. It is as it was.
    """
    place, model, version = split_address(str(source))
    origin = open_store(place)
    store = open_store(repository)
    with clear_errors(f"publish {source} to {store.name}"):
        by_hand = require_version(origin, model, version) is None and public_key is None
        with store.staging(model) as staged:
            if by_hand:
                original, digest = _fetch_unchecked(origin, model, version, staged, progress), ""
            else:
                original = fetch_version(origin, model, version, staged, public_key, progress)
                digest = describe(staged / MANIFEST)["sha256"]
                for name in (MANIFEST, SIGNATURE):  # the copy gets its own
                    (staged / name).unlink(missing_ok=True)
            there = None if again else _find_same(store, original)
            if there is not None and if_new:
                return there
            if there is not None:
                raise RepositoryError(
                    f"{model} {there.version} in {store.name} holds these very files already: promote it, or publish "
                    "them --again"
                )
            _add_shared(origin, original, staged)
            check_onnx(staged, f"{origin.name}/{model}/{version}")
            copy = replace(original, created=now(), origin=original.as_origin(origin.name, digest))
            return _add(store, copy, staged, signer, number, progress, other_classes=other_classes)


def sign_version(repository: RepositoryLike, model: str, version: int, signer: Signer) -> None:
    """Signs a version after a check of its files; replaces an earlier signature.

    Raises:
        RepositoryError: there is no such version, it has no manifest or is damaged, or it cannot be written.
    """
    store = open_store(repository)
    with clear_errors(f"sign {model} {version} in {store.name}"), tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / str(version)
        fetch_version(store, model, version, folder)
        signer.sign(folder)
        store.replace(f"{model}/{version}/{SIGNATURE}", (folder / SIGNATURE).read_bytes())


def withdraw(repository: RepositoryLike, model: str, version: int) -> None:
    """Removes a version from the repository; its number is not given out again.

    Raises:
        RepositoryError: it is not there, is the champion, or cannot be removed.
    """
    store = open_store(repository)
    with clear_errors(f"withdraw {model} {version} from {store.name}"), store.locked():
        if champion(store, model) == version:
            raise RepositoryError(f"{model} {version} is the champion of {store.name}: promote another version first")
        store.remove(model, version)
        follow(store, model)


def _add(
    store: Store,
    new: Manifest,
    staged: Path,
    signer: Signer | None,
    number: int | None = None,
    progress: ProgressCallback = silent,
    *,
    other_classes: bool,
) -> Manifest:
    """Makes a staged folder the next version; `new` has all of its manifest but the number and the files."""
    model = new.model
    described = {name: describe(staged / name) for name in files_in(staged)}
    paths = config_paths(described)
    configs = {path: read_config((staged / path).read_bytes(), f"{model}/{path}") for path in paths}
    for path, config in configs.items():
        check_values(config, f"{model}/{path}")
    names = [*paths, *(name for name in companions(*configs.values()) if name in described)] if paths else []
    shared = {name: (staged / name).read_bytes() for name in names}
    with store.locked():
        if not other_classes:
            class_names = read_class_names(lambda name: (staged / name).read_bytes(), f"the new version of {model}")
            require_same_class_names(store, model, class_names, champion(store, model))
        version = store.claim(model, number)
        manifest = replace(new, version=version, files=described)
        write_synced(staged / MANIFEST, manifest.to_bytes())
        verify_files(staged, manifest)
        if signer is not None:
            signer.sign(staged)
        with followed(store, model) as undo:
            if configs:
                hold(store, model, configs)
            store.commit(staged, model, version, shared, progress)
            undo.callback(store.remove, model, version)
    return manifest


def _fetch_unchecked(origin: Store, model: str, version: int, staged: Path, progress: ProgressCallback) -> Manifest:
    """Copies a version that was made by hand; returns a manifest of its files."""
    sizes = origin.files(model, version)
    names = [name for name in sizes if "__pycache__" not in name.split("/")]  # made by Python at every run
    advance = counting(progress, f"fetching {model} {version}", sum(sizes[name] for name in names))
    for name in names:
        origin.fetch(f"{model}/{version}/{name}", staged / name, advance)
    return Manifest(model, version, {name: describe(staged / name) for name in names})


def _add_shared(origin: Store, original: Manifest, staged: Path) -> None:
    """Adds configurations and companions to a version that has none of its own: an early or hand-made one."""
    if CONFIG in original.files:
        return
    configs = present_configs(origin, original.model)
    names = [*configs, *(companions(*configs.values()) if configs else ())]
    for name in names:
        if name not in original.files:
            with suppress(FileNotFoundError):
                write_synced(staged / name, origin.read(f"{original.model}/{name}"))


def _find_same(store: Store, original: Manifest) -> Manifest | None:
    """Returns the manifest of the version that holds the same files as another, None where there is none."""
    for version in store.versions(original.model):
        try:
            there = load_manifest(store, original.model, version)
        except RepositoryError:
            continue  # damaged or made by hand
        if original.files.items() <= there.files.items():
            return there
    return None


def split_address(source: str) -> tuple[str, str, int]:
    """Returns repository, model and number of REPOSITORY/MODEL/N; raises RepositoryError for other text."""
    repository, _, rest = source.rstrip("/").rpartition("/")
    repository, _, model = repository.rpartition("/")
    number = version_number(rest)
    if number is None or not model:
        raise RepositoryError(
            f"{source} is not a version: give REPOSITORY/MODEL/NUMBER, such as staging/sign_classifier/3"
        )
    return repository or ".", check_model_name(model), number
