"""What else a promotion moves: the alias in MLflow's registry, and the models that call the one that was promoted."""

from pathlib import Path

from export.repository.calls import calls_around
from export.repository.promotion import require_version
from export.repository.store import Store, open_store
from training.registry import RegistryError, is_in_use, record_champion


def find_stale_dependents(repository: str | Path | Store, model: str, version: int, runs: Path) -> list[str]:
    """Moves the alias `champion` in MLflow's registry, where one is in use, and looks who calls the model.

    Returns:
        What a person should know, a sentence each: why the alias stays where it is, and which recognizer now calls
        another version than it was exported with.

    Raises:
        RepositoryError: a manifest or a configuration is damaged.
    """
    store = open_store(repository)
    return [*_tell_mlflow(store, model, version, runs), *calls_around(store, model)]


def _tell_mlflow(store: Store, model: str, version: int, runs: Path) -> list[str]:
    manifest = require_version(store, model, version)
    if manifest is None or "run_id" not in manifest.source or not is_in_use(runs):
        return []
    try:
        record_champion(runs, model, manifest.source["run_id"])
    except RegistryError as error:
        return [f"the alias champion stays where it is: {error}"]
    return []
