"""Publishes a version that is made out of another one: the same weights, served or compiled in another way."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.errors import RepositoryError
from export.repository.manifest import MANIFEST, Manifest, clear_errors, describe, files_in
from export.repository.policy import CONFIG, companions, config_paths, to_bytes
from export.repository.publishing import publish
from export.repository.store import Store, open_store

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

# Each version has its own; a verdict of the gate was on how the other one is served.
OWN = ("model", "version", "files", "created", "gate")


def publish_derived(
    repository: str | Path | Store,
    original: Manifest,
    folder: Path,
    configs: "Mapping[str, pb.ModelConfig]",
    instead: Mapping[str, bytes] | None = None,
    leave_out: Sequence[str] = (),
    forget: Sequence[str] = (),
    **facts: Any,
) -> Manifest:
    """Adds a version with the files of another one and its own configurations.

    Its manifest keeps the provenance of the other one and names it as its origin. The other one stays as it is, and is
    served as before where it was promoted.

    Args:
        folder: with its files, which were checked.
        configs: configurations of the new version, by path; it has none of the other version's.
        instead: content of files that are new, by name.
        leave_out: names of files that do not come along.
        forget: fields of the manifest that do not hold of the new version.

    Returns:
        The manifest of the new version.

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
                files[name] = _beside(store, original.model, name)
        came_from = original.as_origin(store.name, describe(folder / MANIFEST)["sha256"])
        inherited = {name: value for name, value in asdict(original).items() if name not in (*OWN, *forget)}
        shared = {path: to_bytes(config).decode() for path, config in configs.items()}
        return publish(store, original.model, files, shared, inherited | {"origin": came_from} | facts)


def _beside(store: Store, model: str, name: str) -> bytes:
    try:
        return store.read(f"{model}/{name}")
    except FileNotFoundError as error:
        raise RepositoryError(f"there is no {store.name}/{model}/{name}, which {CONFIG} names: put it there") from error
