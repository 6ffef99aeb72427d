"""Publishes a version that is derived from another one: the same weights, served or compiled in another way."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.manifest import MANIFEST, Manifest, clear_errors, describe, files_in
from export.repository.policy import CONFIG, Configs, companions, config_paths, to_bytes
from export.repository.publishing import publish
from export.repository.store import RepositoryLike, open_store

# Not inherited; the verdict of the gate is on the other configuration.
OWN = ("model", "version", "files", "created", "gate")


def publish_derived(
    repository: RepositoryLike,
    original: Manifest,
    folder: Path,
    configs: Configs,
    instead: Mapping[str, bytes] | None = None,
    leave_out: Sequence[str] = (),
    forget: Sequence[str] = (),
    **facts: Any,
) -> Manifest:
    """Adds a version with the files of another one and its own configurations, and returns its manifest.

    That keeps the provenance of the other version and names it as its origin. The other version does not change.

    Args:
        folder: with its checked files.
        configs: all configurations of the new version, by path.
        instead: content of new files, by name.
        leave_out: names of files that are not copied.
        forget: fields of the manifest that are not inherited.

    Raises:
        RepositoryError: the repository cannot be written; it is as it was.
    """
    store = open_store(repository)
    with clear_errors(f"publish to {store.name}/{original.model}"):
        there = files_in(folder)
        kept = [name for name in there if name not in (*config_paths(there), *leave_out)]
        files = {name: (folder / name).read_bytes() for name in kept} | dict(instead or {})
        for name in companions(*configs.values()):
            if name not in files:  # of a version that was published without its own
                path = f"{original.model}/{name}"
                try:
                    files[name] = store.read(path)
                except FileNotFoundError as error:
                    raise RepositoryError(
                        f"there is no {store.name}/{path}, which {CONFIG} names: put it there"
                    ) from error
        came_from = original.as_origin(store.name, describe(folder / MANIFEST)["sha256"])
        inherited = {name: value for name, value in asdict(original).items() if name not in (*OWN, *forget)}
        shared = {path: to_bytes(config).decode() for path, config in configs.items()}
        return publish(
            *(store, original.model, files, shared, inherited | {"origin": came_from} | facts),
            other_classes=True,  # those of a version that is here already
        )
