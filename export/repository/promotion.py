"""Which version is the champion, and how config.pbtxt follows it.

Each promotion and each rollback is a new file, promotion-1.json, promotion-2.json and so on: the history cannot be
rewritten by accident, and no concurrent promotion is lost, also in a bucket, where no file can be changed safely.
config.pbtxt is derived from the history and can be written again.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from export.errors import RepositoryError
from export.repository.class_names import (
    other_classes_option,
    require_same_class_names,
    version_class_names,
    version_difference,
)
from export.repository.manifest import (
    MANIFEST,
    Manifest,
    check_model_name,
    clear_errors,
    now,
    parse_manifest,
    verify_files,
)
from export.repository.policy import (
    CONFIG,
    Configs,
    companions,
    config_paths,
    pinned,
    read_config,
    served,
    to_bytes,
    without_policies,
)
from export.repository.store import RepositoryLike, Store, open_store, repository_flag

PROMOTION = "promotion-"
Action = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """One entry of the history: a promotion, or a rollback to an earlier champion; the time is ISO 8601, UTC."""

    model: str
    version: int
    action: Action
    reason: str
    time: str


def history(store: Store, model: str) -> list[Promotion]:
    """Returns all promotions and rollbacks, oldest first; raises RepositoryError for a damaged entry."""
    entries = []
    for number in _numbers(store, model):
        path = f"{model}/{PROMOTION}{number}.json"
        try:
            entry = Promotion(**json.loads(store.read(path)))
            if type(entry.version) is not int or entry.action not in ("promote", "rollback"):
                raise ValueError("version or action is wrong")
        except (ValueError, TypeError) as error:
            raise RepositoryError(f"{store.name}/{path} cannot be read ({error}): mend or remove it") from error
        entries.append(entry)
    return entries


def champions(entries: list[Promotion]) -> list[int]:
    """Returns the champions that rollbacks restore, the present one last: a rollback undoes a promotion."""
    stack: list[int] = []
    for entry in entries:
        if entry.action == "promote":
            stack.append(entry.version)
        elif len(stack) > 1:
            stack.pop()
    return stack


def champion(store: Store, model: str) -> int | None:
    """Returns the promoted version of a model, None before any promotion."""
    return next(reversed(champions(history(store, model))), None)


def promote(
    repository: RepositoryLike,
    model: str,
    version: int,
    reason: str,
    gated: bool = False,
    *,
    other_classes: bool = False,
) -> Promotion | None:
    """Makes a version the champion, and the only one that config.pbtxt serves.

    Args:
        gated: requires that it has passed the gate against the present champion.
        other_classes: promote it also if the champion has other class names.

    Returns:
        The new entry of the history; None if the version was the champion already.

    Raises:
        RepositoryError: there is no such version, it is damaged, has not passed the gate or has other classes than the
            champion, or the repository cannot be written.
    """
    store = open_store(repository)
    with clear_errors(f"promote {model} {version} in {store.name}"):
        _require_whole(store, model, version)
        with store.locked():
            if lack := gate_failure_reason(store, model, version) if gated else "":
                raise RepositoryError(f"{lack}: it is not promoted")
            best = champion(store, model)
            if best is not None and not other_classes:
                require_same_class_names(store, model, version_class_names(store, model, version), best)
            if best != version:
                return _record(store, model, version, "promote", reason)
            follow(store, model)
            return None


def rollback(repository: RepositoryLike, model: str, reason: str, only: int | None = None) -> Promotion | None:
    """Makes the previous champion champion again; with `only`, if that version is the champion.

    Returns:
        The new entry of the history; None if `only` is not the champion, so that a repeated call changes nothing.

    Raises:
        RepositoryError: there is no previous champion, it was removed, or the repository cannot be written.
    """
    store = open_store(repository)
    with clear_errors(f"roll back {check_model_name(model)} in {store.name}"), store.locked():
        line = champions(history(store, model))
        if only is not None and line[-1:] != [only]:
            return None
        if len(line) < 2:
            raise RepositoryError(f"{model} in {store.name} has no earlier champion: promote a version instead")
        if line[-2] not in store.versions(model):
            raise RepositoryError(
                f"version {line[-2]} of {model}, the previous champion, is no longer in {store.name}: promote another "
                "one"
            )
        _require_whole(store, model, line[-2])
        return _record(store, model, line[-2], "rollback", reason)


def gate_failure_reason(repository: RepositoryLike, model: str, version: int) -> str:
    """Returns why a version has not passed the gate against the champion; empty if it has, or is the champion.

    Versions are compared by their model files, because numbers differ between repositories.

    Raises:
        RepositoryError: there is no such version, or a manifest or the history is damaged.
    """
    store = open_store(repository)
    manifest, best = require_version(store, model, version), champion(store, model)
    name, gate = f"{model} {version}", manifest.gate if manifest is not None else {}
    if version == best:
        return ""
    flags = other_classes_option(store, model, version, best) + repository_flag(store.name)
    again = f"`signs export gate {model} --data DATA --challenger {version}{flags}`"
    if manifest is None or not gate:
        return f"{name} has not been through the gate ({again})"
    if gate.get("passed") is not True:
        return f"{name} has not passed the gate ({gate.get('verdict')})"
    if _sha256(gate, "challenger") != manifest.model_sha256:
        return f"{name} has the verdict of another version ({again})"
    if best is not None:
        present = require_version(store, model, best)
        if gate.get("champion") is None and version_difference(store, model, version, best):
            return ""  # there is nothing that both could be compared on
        if present is None or _sha256(gate, "champion") != present.model_sha256:
            return f"{name} has not been compared with version {best}, the present champion ({again})"
    return ""


def _sha256(gate: dict[str, Any], side: str) -> object:
    found = gate.get(side)
    return found.get("sha256") if isinstance(found, dict) else None


def require_version(store: Store, model: str, version: int) -> Manifest | None:
    """Returns the manifest of a version, None for one that was made by hand.

    Raises:
        RepositoryError: the version, its model or the repository is missing, or its manifest is damaged or of another
            version.
    """
    present = store.versions(check_model_name(model))
    if not present:
        store.models()  # says so if there is no repository
        raise RepositoryError(f"there is no model {model} in {store.name}")
    if version not in present:
        raise RepositoryError(
            f"there is no version {version} of {model} in {store.name}: it has {', '.join(map(str, present))}"
        )
    with suppress(FileNotFoundError):
        return read_manifest(store, model, version)
    return None


def read_manifest(store: Store, model: str, version: int) -> Manifest:
    """Returns the manifest of a version; raises RepositoryError if it is damaged or of another version."""
    path = f"{model}/{version}/{MANIFEST}"
    manifest = parse_manifest(store.read(path), f"{store.name}/{path}")
    if (manifest.model, manifest.version) != (model, version):
        raise RepositoryError(
            f"{store.name}/{path} is of {manifest.model} {manifest.version}: make copies with "
            "`signs repository publish`"
        )
    return manifest


def _require_whole(store: Store, model: str, version: int) -> None:
    manifest = require_version(store, model, version)
    if manifest is not None:
        with store.folder(model, version) as folder:
            verify_files(folder, manifest)


def wanted_configs(store: Store, model: str) -> Configs:
    """Returns the right configurations beside the versions, by path, config.pbtxt last.

    These are the champion's own, pinned; before any promotion the newest version's own.
    """
    best, present = champion(store, model), store.versions(model)
    current = best or (present[-1] if present else None)
    configs = own_configs(store, model, current) if current is not None else {}
    return {path: pinned(config, [best]) if best is not None else config for path, config in configs.items()}


def own_configs(store: Store, model: str, version: int) -> Configs:
    """Returns the configurations of a version by path, config.pbtxt last; without any, the model's config.pbtxt."""
    found = _read_configs(store, f"{model}/{version}", store.files(model, version))
    return found if CONFIG in found else {**found, **_read_configs(store, model, [CONFIG])}


def present_configs(store: Store, model: str) -> Configs:
    """Returns the configurations beside the versions of a model, by path, config.pbtxt last."""
    return _read_configs(store, model, store.shared_files(model))


def _read_configs(store: Store, folder: str, paths: Iterable[str]) -> Configs:
    found = {}
    for path in config_paths(paths):
        with suppress(FileNotFoundError):
            found[path] = read_config(store.read(f"{folder}/{path}"), f"{store.name}/{folder}/{path}")
    return found


def follow(store: Store, model: str) -> None:
    """Writes the configurations and companions of the served version, as far as they differ, and removes others."""
    while True:
        entries = history(store, model)
        configs = wanted_configs(store, model)
        if not configs:
            return
        present = store.versions(model)
        current = next(reversed(champions(entries)), present[-1])
        for name in companions(*configs.values()):
            with suppress(FileNotFoundError):
                store.replace(f"{model}/{name}", store.read(f"{model}/{current}/{name}"))
        there = present_configs(store, model)
        for path, config in configs.items():
            if there.get(path) != config:
                store.replace(f"{model}/{path}", to_bytes(config))
        for path in there.keys() - configs.keys():  # of another version
            store.discard(f"{model}/{path}")
        # A bucket has no lock: after a concurrent promotion the history decides.
        if history(store, model) == entries:
            return


@contextmanager
def followed(store: Store, model: str) -> Iterator[ExitStack]:
    """Updates config.pbtxt after the block; if either fails, as on a full disk, undoes the stack and config.pbtxt."""
    with ExitStack() as undo:
        try:
            yield undo
            follow(store, model)
        except BaseException:
            with suppress(Exception):  # the first error is reported
                undo.close()
            with suppress(Exception):
                follow(store, model)
            raise
        undo.pop_all()


def hold(store: Store, model: str, coming: Configs) -> None:
    """Pins the served versions before one with other configurations, `coming`, appears.

    Otherwise a server could load a new version with an old configuration, or the reverse.
    """
    there, present = present_configs(store, model), store.versions(model)
    if CONFIG not in there or not present or champion(store, model) is not None:
        return
    if without_policies(there) != without_policies(coming):
        for path, config in there.items():
            store.replace(f"{model}/{path}", to_bytes(pinned(config, served(config, present))))


def _record(store: Store, model: str, version: int, action: Action, reason: str) -> Promotion:
    """Adds an entry to the history and updates config.pbtxt, both or neither."""
    entry = Promotion(model, version, action, reason, now())
    path = f"{model}/{PROMOTION}{max(_numbers(store, model), default=0) + 1}.json"
    with followed(store, model) as undo:
        try:
            store.create(path, (json.dumps(asdict(entry), indent=2) + "\n").encode())
        except FileExistsError as error:
            raise RepositoryError(
                f"another promotion of {model} was recorded at the same time: see `signs repository show {model}` and "
                "decide again"
            ) from error
        undo.callback(store.discard, path)
    return entry


def _numbers(store: Store, model: str) -> list[int]:
    matches = (re.fullmatch(rf"{PROMOTION}(\d+)\.json", name) for name in store.shared_files(model))
    return sorted(int(match[1]) for match in matches if match)
