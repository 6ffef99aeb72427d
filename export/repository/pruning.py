"""Removes old versions, never the champion, and leftovers of interrupted work."""

from dataclasses import dataclass

from export.errors import NewerSchemaError, RepositoryError
from export.repository.manifest import check_model_name, clear_errors
from export.repository.promotion import champion, champions, follow, history, require_version
from export.repository.store import RepositoryLike, Store, open_store

LEFTOVER_AGE_S = 24 * 3600.0  # no publisher takes that long between two files


@dataclass(frozen=True)
class Pruned:
    """Versions that prune kept and removed, or with `dry_run` would, and the leftovers that it removed."""

    kept: list[int]
    removed: list[int]
    swept: list[str]


def prune(
    repository: RepositoryLike,
    model: str,
    keep: int,
    dry_run: bool = False,
    leftover_age_s: float = LEFTOVER_AGE_S,
) -> Pruned:
    """Removes all versions but the champion, or before any promotion the newest, and `keep` others.

    The others are first the champions that a rollback restores, the last one first, then the newest versions.
    Unfinished uploads of the model, and in a folder the staging folders of all models, of that age in seconds are
    removed, too.

    Raises:
        NewerSchemaError: a newer release wrote one of the versions to remove; nothing is removed.
        RepositoryError: there is no such model, or it cannot be written.
    """
    store = open_store(repository)
    with clear_errors(f"prune {check_model_name(model)} in {store.name}"):
        if not store.versions(model):
            raise RepositoryError(f"there is no model {model} in {store.name}")
        if dry_run:
            kept, removed = _choose(store, model, keep)
            return Pruned(kept, removed, [])
        with store.locked():
            kept, removed = _choose(store, model, keep)
            for version in removed:
                if champion(store, model) != version:  # a bucket has no lock: it may be promoted just now
                    store.remove(model, version)
            follow(store, model)
            swept = store.sweep(model, leftover_age_s)
        present = store.versions(model)
        return Pruned(present, [version for version in removed if version not in present], swept)


def _choose(store: Store, model: str, keep: int) -> tuple[list[int], list[int]]:
    present = store.versions(model)
    newest_first = present[::-1]
    earlier = champions(history(store, model))[::-1]
    order = list(dict.fromkeys(version for version in (*earlier, *newest_first) if version in present))
    kept = set(order[: keep + 1])
    removed = [version for version in present if version not in kept]
    for version in removed:
        try:
            require_version(store, model, version)
        except NewerSchemaError as error:
            raise NewerSchemaError(f"{error}, or keep version {version}: nothing is removed") from error
        except RepositoryError:
            continue  # a damaged version can be removed
    return sorted(kept), removed
