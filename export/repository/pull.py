"""Fetches exactly the requested versions into a folder, checked, for a server."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from export.errors import RepositoryError
from export.hardware_fit import BY_HARDWARE
from export.repository.configuration import GPU, require_hardware, require_name
from export.repository.fetching import fetch_version
from export.repository.hardware import misfit
from export.repository.local import LocalStore, staging_parent, staging_prefix
from export.repository.manifest import MANIFEST, check_model_name, clear_errors, is_same_version, parse_manifest
from export.repository.policy import (
    CONFIG,
    CONFIGS,
    companions,
    config_paths,
    pinned,
    read_config,
    to_bytes,
    without_policies,
)
from export.repository.promotion import champion, present_configs, require_version
from export.repository.registry import SCHEME
from export.repository.store import RepositoryLike, Store, open_store
from export.repository.verification import check_folder
from traffic_signs.atomic_write import sync_folder, write_synced
from traffic_signs.progress import ProgressCallback, silent


@dataclass(frozen=True)
class Pulled:
    """One version that is in the destination now; `fetched` is False if it was there already."""

    model: str
    version: int
    fetched: bool


def parse_wanted(options: Sequence[str], file: Path | None = None) -> dict[str, list[int]]:
    """Reads the requested versions.

    Args:
        options: `MODEL=N`, `MODEL=N,M`, or `MODEL` for its champion.
        file: JSON, {"MODEL": N or [N, M] or null}, in addition to the options.

    Returns:
        Numbers by model; an empty list is the champion, or the newest version before any promotion.

    Raises:
        RepositoryError: one cannot be read.
    """
    wanted: dict[str, list[int]] = {}
    if file is not None:
        try:
            for model, given in json.loads(file.read_text()).items():
                numbers = given if isinstance(given, list) else [] if given is None else [given]
                if not all(type(number) is int and number > 0 for number in numbers):
                    raise ValueError(f"{given!r} is not a version of {model}")
                wanted.setdefault(check_model_name(model), []).extend(numbers)
        except (OSError, ValueError, AttributeError) as error:
            raise RepositoryError(
                f'{file} cannot be read ({error}): write JSON such as {{"sign_classifier": 3}}'
            ) from error
    for option in options:
        model, given_one, text = option.partition("=")
        numbers = [int(part) for part in text.split(",") if part.isascii() and part.isdecimal() and int(part)]
        if given_one and len(numbers) != text.count(",") + 1:
            raise RepositoryError(f"{option!r} names no version: give MODEL=N, MODEL=N,M or MODEL for its champion")
        wanted.setdefault(check_model_name(model), []).extend(numbers)
    return wanted


def pull(
    source: RepositoryLike,
    destination: Path,
    wanted: Mapping[str, Sequence[int]],
    public_key: Path | None = None,
    progress: ProgressCallback = silent,
    any_gpu: bool = False,
    configuration: str = "",
) -> list[Pulled]:
    """Fetches versions into a folder whose config.pbtxt then serves exactly these.

    All files are fetched into a staging folder and checked before the first name in `destination` changes; later
    failures are undone. Whole versions are not fetched again, damaged ones are replaced. Other versions of these models
    stay, and are no longer served.

    Args:
        wanted: numbers by model; an empty list is the champion, or the newest before any promotion; an empty mapping
            is all models.
        any_gpu: accept engines that this machine cannot run.
        configuration: name of the server's; `gpu` is for a GPU.

    Raises:
        RepositoryError: a version is missing, damaged, not signed with the key, needs another configuration than a
            second one, differs from the one in `destination`, or does not run on the hardware; no model has that
            configuration; or `destination` cannot be written. It is unchanged.
    """
    store = open_store(source)
    with clear_errors(f"pull {store.name} to {destination}"), _staging(destination) as staged:
        chosen = choose_versions(store, wanted, any_gpu)
        pulled = []
        for model, numbers in chosen.items():
            if champion(LocalStore(destination), model) is not None:
                raise RepositoryError(
                    f"{destination} has promoted versions of {model} itself: pull elsewhere, or bring it in with "
                    "`signs repository publish`"
                )
            (staged / model).mkdir()
            folders = {}
            for version in numbers:
                pulled.append(_bring(store, model, version, staged, destination, public_key, progress))
                folders[version] = (staged if pulled[-1].fetched else destination) / model / str(version)
            _configure(store, folders, staged / model, public_key is not None)
        if configuration:
            configs = {model: present_configs(LocalStore(staged), model) for model in chosen}
            # From a registry models are pulled one by one, and the name may be of another one.
            if configuration not in BY_HARDWARE and not store.name.startswith(SCHEME):
                require_name(configs, configuration)
            server = f"the configuration {configuration} is for a server without one"
            require_hardware(configs, configuration, configuration == GPU, server)
        _move(staged, destination, pulled)
        return pulled


def choose_versions(store: Store, wanted: Mapping[str, Sequence[int]], any_gpu: bool) -> dict[str, list[int]]:
    """Returns the numbers by model for the arguments of `pull`; raises RepositoryError as `pull` does."""
    chosen = {}
    for model, numbers in (wanted or {model: [] for model in store.models()}).items():
        present = store.versions(check_model_name(model))
        if not present:
            raise RepositoryError(f"there is no model {model} in {store.name}")
        chosen[model] = sorted(set(numbers)) or [champion(store, model) or present[-1]]
        for version in chosen[model]:
            manifest = require_version(store, model, version)
            reason = misfit(manifest.built_for) if manifest and manifest.built_for and not any_gpu else ""
            if reason:
                raise RepositoryError(
                    f"{store.name}/{model}/{version} cannot run here: {reason}. Pull a version in ONNX; or give "
                    "--any-gpu if another machine is to serve it"
                )
    if not chosen:
        raise RepositoryError(f"there is no model in {store.name}: publish one first")
    return chosen


def _bring(
    store: Store,
    model: str,
    version: int,
    staged: Path,
    destination: Path,
    public_key: Path | None,
    progress: ProgressCallback,
) -> Pulled:
    """Fetches one version into the staging folder unless the destination has it."""
    there = destination / model / str(version)
    if there.exists():
        here = wanted = b""
        with suppress(FileNotFoundError, NotADirectoryError):
            here, wanted = (there / MANIFEST).read_bytes(), store.read(f"{model}/{version}/{MANIFEST}")
        if not is_same_version(here, wanted):
            raise RepositoryError(
                f"{there} is not the version {version} of {store.name}: pull into an empty folder, or remove it"
            )
        # A new verdict of the gate is fetched with the signature that covers it.
        if here == wanted and not check_folder(there, model, version, public_key).problems:
            return Pulled(model, version, fetched=False)
    fetch_version(store, model, version, staged / model / str(version), public_key, progress)
    return Pulled(model, version, fetched=True)


def _configure(store: Store, folders: Mapping[int, Path], beside: Path, signed: bool) -> None:
    """Writes the configurations of these versions, pinned to exactly these, and companions into the folder `beside`.

    Args:
        store: has the configurations for versions of earlier releases.
        signed: configurations must be signed.
    """
    model = beside.name
    listed = {
        number: parse_manifest((folder / MANIFEST).read_bytes(), str(folder)).files
        for number, folder in folders.items()
    }

    def content(version: int, name: str) -> bytes:
        if name in listed[version]:
            return (folders[version] / name).read_bytes()
        if signed:
            raise RepositoryError(
                f"{model} {version} in {store.name} was published without its {name}, so no signature covers that: "
                "publish it anew"
            )
        try:
            return store.read(f"{model}/{name}")
        except FileNotFoundError as error:
            raise RepositoryError(f"{model} {version} in {store.name} has no {name}: publish it with one") from error

    configs = {
        number: {
            path: read_config(content(number, path), f"{path} of {model} {number}")
            for path in config_paths({CONFIG, *files})
        }
        for number, files in listed.items()
    }
    first, chosen = next(iter(configs.items()))
    for number, each in configs.items():
        if without_policies(each) != without_policies(chosen):
            raise RepositoryError(
                f"{model} {first} and {number} need different configurations, and Triton takes one for all "
                "versions of a model: pull one of them"
            )
    for path, config in chosen.items():
        write_synced(beside / path, to_bytes(pinned(config, list(folders))))
    for name in companions(*chosen.values()):
        labels = {content(number, name) for number in folders}
        if len(labels) > 1:
            raise RepositoryError(f"{name} differs between the versions of {model} asked for: pull one of them")
        write_synced(beside / name, labels.pop())


@contextmanager
def _staging(destination: Path) -> Iterator[Path]:
    """Yields a folder from which files can be renamed into the destination.

    It is beside the destination, or inside if that is a mount, as a container's volume. A server would take it for a
    model: start it afterwards. Leftovers of a killed pull are removed first, or a restarted container never serves.
    """
    if destination.exists() and not destination.is_dir():
        raise RepositoryError(f"{destination} is a file: give a folder")
    parent, prefix = staging_parent(destination), staging_prefix(destination)
    with ExitStack() as lock:
        if parent is None:
            destination.mkdir(parents=True, exist_ok=True)
            parent = destination
            lock.enter_context(LocalStore(destination).locked())  # so no other process uses the leftovers
            for left in destination.glob(f"{prefix}*"):
                shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)


def _move(staged: Path, destination: Path, pulled: Sequence[Pulled]) -> None:
    """Renames everything into place; on a failure back."""
    destination.mkdir(parents=True, exist_ok=True)
    grave = staged / ".replaced"
    is_locked = staged.parent.samefile(destination)  # as `_staging` has left it
    with nullcontext() if is_locked else LocalStore(destination).locked(), ExitStack() as undo:
        for model in dict.fromkeys(each.model for each in pulled):
            if not (destination / model).exists():
                _rename(staged / model, destination / model, undo)
                continue
            for each in pulled:
                if each.model == model and each.fetched:
                    there = destination / model / str(each.version)
                    if there.exists():
                        _rename(there, grave / model / str(each.version), undo)
                    _rename(staged / model / str(each.version), there, undo)
            # The configuration last: until then the server serves what it served before.
            beside = [path for path in (staged / model).rglob("*") if path.is_file()]
            kept = {path.relative_to(staged / model) for path in beside}
            for path in (destination / model).glob(f"{CONFIGS}/*.pbtxt"):  # of what was served before
                if path.relative_to(destination / model) not in kept:
                    _rename(path, grave / model / path.name, undo)
            for path in sorted(beside, key=lambda path: path.name == CONFIG):
                _replace(path, destination / model / path.relative_to(staged / model), undo)
            sync_folder(destination / model)
        sync_folder(destination)
        undo.pop_all()


def _rename(old: Path, new: Path, undo: ExitStack) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)
    undo.callback(new.rename, old)


def _replace(old: Path, new: Path, undo: ExitStack) -> None:
    before = new.read_bytes() if new.exists() else None
    if before == old.read_bytes():
        return
    if not new.parent.exists():
        new.parent.mkdir()
        undo.callback(new.parent.rmdir)
    old.replace(new)
    put_back: Callable[[], object] = new.unlink if before is None else lambda: write_synced(new, before)
    undo.callback(put_back)
