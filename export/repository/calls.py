"""Does a model still call the versions that it was exported with?

The recognizer is exported for versions of a detector and a classifier, and its reference for drift is measured with
them; the `source` of its manifest names them. It calls the newest version that is served, or the one that its
config.pbtxt pins, so promotions of the two can change it.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from export.errors import RepositoryError
from export.repository.listing import served_versions
from export.repository.manifest import Manifest
from export.repository.policy import CONFIG, read_config
from export.repository.promotion import require_version
from export.repository.store import RepositoryLike, Store, open_store
from training.registry import CHAMPION, RegistryError, is_in_use, set_alias

DIGEST = "_files_sha256"  # after the name of the model that is called


def find_stale_dependents(repository: RepositoryLike, model: str, version: int, runs: Path) -> list[str]:
    """Moves the alias `champion` in MLflow's registry, if one is in use, and finds recognizers that call the model.

    Returns sentences: why the alias was not moved, and which recognizer now calls another version than it was exported
    with; raises RepositoryError for a damaged manifest or configuration.
    """
    store = open_store(repository)
    manifest, notices = require_version(store, model, version), []
    if manifest is not None and "run_id" in manifest.source and is_in_use(runs):
        try:
            set_alias(runs, model, manifest.source["run_id"], CHAMPION)
        except RegistryError as error:
            notices.append(f"the alias champion stays where it is: {error}")
    return [*notices, *calls_around(store, model)]


def describe_call(store: Store, model: str, version: int) -> dict[str, str]:
    """Returns the entries of a manifest's `source` about a version that its model calls."""
    manifest = require_version(store, model, version)
    return {model: f"version {version}"} | ({f"{model}{DIGEST}": manifest.files_sha256} if manifest else {})


def changed_calls(store: Store, caller: str, called: str = "") -> Iterator[str]:
    """Yields a sentence for each call of a model that goes to another version than the caller was exported with.

    Only versions that are served count, and calls of the model `called`; all for an empty name. They are compared by
    their files, because numbers differ between repositories; copies whose manifest has only numbers, and damaged
    manifests, are skipped.
    """
    for version in served_versions(store, caller):
        manifest = _manifest(store, caller, version)
        for name, made_for in manifest.source.items() if manifest else ():
            if manifest and re.fullmatch(r"version \d+", made_for) and called in ("", name):
                yield from _changed(store, manifest, name)


def calls_around(store: Store, model: str) -> list[str]:
    """Returns the sentences of `changed_calls` for the calls of a model and those to it."""
    return [text for each in store.models() for text in changed_calls(store, each, "" if each == model else model)]


def _changed(store: Store, caller: Manifest, called: str) -> Iterator[str]:
    number = caller.source[called].removeprefix("version ")
    origin = f" of {caller.origin['repository']}" if caller.origin else ""
    was = f"{caller.model} {caller.version} was exported with {called} {number}{origin}"
    present = served_versions(store, called)
    pin = _pin(store, caller.model, called)
    now = pin or max(present, default=None)
    if now not in present:
        yield f"{was}, and calls {f'{called} {now}' if now else called}, which is not served here"
    elif not _is_same(caller, called, int(number), now, _manifest(store, called, now)):
        yield (
            f"{was}, and now calls {called} {now}: its settings and its reference for drift are of the other one. "
            f"Export {caller.model} again"
        )


def _is_same(caller: Manifest, called: str, made_for: int, now: int, manifest: Manifest | None) -> bool:
    digest = caller.source.get(f"{called}{DIGEST}")
    if digest and manifest is not None:
        return digest == manifest.files_sha256
    return bool(caller.origin) or made_for == now


def _pin(store: Store, caller: str, called: str) -> int | None:
    """Returns the number that a caller's configuration names, as `detector_version` for `sign_detector`."""
    path = f"{caller}/{CONFIG}"
    parameters = read_config(store.read(path), f"{store.name}/{path}").parameters
    name = f"{called.rpartition('_')[2]}_version"
    value = parameters[name].string_value if name in parameters else ""
    return int(value) if value.isdecimal() else None


def _manifest(store: Store, model: str, version: int) -> Manifest | None:
    with suppress(RepositoryError):
        return require_version(store, model, version)
    return None
