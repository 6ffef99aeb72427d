"""What else a promotion affects: the alias in MLflow's registry, and models that call the promoted one."""

from pathlib import Path

from export.repository.calls import calls_around
from export.repository.promotion import require_version
from export.repository.store import RepositoryLike, open_store
from training.registry import RegistryError, is_in_use, record_champion


def find_stale_dependents(repository: RepositoryLike, model: str, version: int, runs: Path) -> list[str]:
    """Moves the alias `champion` in MLflow's registry, if one is in use, and finds recognizers that call the model.

    Returns:
        Notices, a sentence each: why the alias was not moved, and which recognizer now calls another version than it
        was exported with.

    Raises:
        RepositoryError: a manifest or a configuration is damaged.
    """
    store = open_store(repository)
    manifest, notices = require_version(store, model, version), []
    if manifest is not None and "run_id" in manifest.source and is_in_use(runs):
        try:
            record_champion(runs, model, manifest.source["run_id"])
        except RegistryError as error:
            notices.append(f"the alias champion stays where it is: {error}")
    return [*notices, *calls_around(store, model)]
