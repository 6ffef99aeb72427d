"""Records gate verdicts as tags in MLflow's model registry, and sets the aliases `challenger` and `champion`.

The registry has its own version numbers: its version is found by the id of the training run.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from training.errors import TrainingError

CHALLENGER, CHAMPION = "challenger", "champion"
LONGEST_TAG = 5000  # characters of a tag's value that MLflow stores


class RegistryError(TrainingError):
    """The registry cannot be used or does not have the model."""


def is_in_use(runs: Path) -> bool:
    """Returns whether runs are recorded: MLFLOW_TRACKING_URI is set, or the folder of runs has a database."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (runs / "mlflow.db").is_file()


def set_alias(runs: Path, model: str, run_id: str, alias: str, tags: Mapping[str, str] | None = None) -> str:
    """Sets the alias of a registered version, CHALLENGER or CHAMPION, and tags it.

    The version is that of the run `run_id`; `runs` has MLflow's database. A champion is no longer the challenger.
    Returns the registry's number of the version; raises RegistryError if MLflow cannot be used or has none of that run.
    """
    if not run_id.isalnum():
        raise RegistryError("its manifest names no MLflow run")
    if not is_in_use(runs):
        raise RegistryError(
            f"there is no {runs / 'mlflow.db'}: give its folder with --runs, or set MLFLOW_TRACKING_URI"
        )
    try:
        # Imported before MLflow, because it sets variables that MLflow reads at its import.
        from training.tracking import default_tracking_uri, first_line, without_password

        import mlflow  # isort: skip
    except ImportError as error:
        raise RegistryError(f"{error.name} is not installed: pip install '.[train]'") from error
    uri = default_tracking_uri(runs)
    shown = without_password(uri)
    try:
        client = mlflow.MlflowClient(uri)
        found = client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'")
        if not found:
            raise RegistryError(f"MLflow at {shown} has no {model} of the run {run_id}")
        number = str(max(int(each.version) for each in found))
        for name, value in (tags or {}).items():
            client.set_model_version_tag(model, number, name, value[:LONGEST_TAG])
        client.set_registered_model_alias(model, alias, number)
        if alias == CHAMPION:
            # The alias of another challenger stays.
            aliases = client.get_registered_model(model).aliases
            if str(aliases.get(CHALLENGER, "")) == number:
                client.delete_registered_model_alias(model, CHALLENGER)
    except RegistryError:
        raise
    except Exception as error:  # MLflow also raises the errors of its database and network libraries
        raise RegistryError(f"MLflow at {shown} has failed ({first_line(error)})") from error
    return number
