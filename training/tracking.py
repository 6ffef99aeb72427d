"""Where runs are recorded: MLflow, on SQLite unless told otherwise.

Every training run leaves its parameters, curves, metrics, plots and checkpoint, and a registered version of its
model with the alias `challenger`. The registered version points at the checkpoint's own files: nothing is pickled.
"""

import fcntl
import logging
import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

with warnings.catch_warnings():  # MLflow's own imports warn of their dependencies' plans
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

from training.errors import TrainingError

EXPERIMENT = "traffic-signs"


def default_tracking_uri(runs: Path) -> str:
    """Returns $MLFLOW_TRACKING_URI, or a SQLite file in the folder of runs."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(runs / 'mlflow.db').resolve()}"


@contextmanager
def tracked_run(name: str, runs: Path, parameters: Mapping[str, object]) -> Iterator[str]:
    """Opens an MLflow run; it ends as FAILED when the block raises.

    Args:
        name: the run's name.
        runs: folder that holds the database and, for a database of our own, the artifacts.
        parameters: the configuration to record.

    Yields:
        The run's id.

    Raises:
        TrainingError: the tracking server or database cannot be used.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    uri = default_tracking_uri(runs)
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _open_run(name, runs, uri) as run:
            mlflow.log_params({**parameters, "git_commit": git_commit()})
            yield run.info.run_id
    except (MlflowException, SQLAlchemyError) as error:
        raise TrainingError(f"MLflow at {uri} failed during the run: {_first_line(error)}") from error
    finally:
        # MLflow writes its address into the environment; the next run must see the user's choice, not ours.
        if chosen is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


def _open_run(name: str, runs: Path, uri: str) -> mlflow.ActiveRun:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(uri)
        with (runs / ".mlflow.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two first runs at once would both create the database
            if mlflow.get_experiment_by_name(EXPERIMENT) is None:
                own = uri.startswith("sqlite:")
                location = (runs / "artifacts").resolve().as_uri() if own else None
                mlflow.create_experiment(EXPERIMENT, artifact_location=location)
        mlflow.set_experiment(EXPERIMENT)
        return mlflow.start_run(run_name=name)
    except Exception as error:  # MLflow lets the errors of its database and network libraries through
        raise TrainingError(
            f"MLflow at {uri} cannot be used ({_first_line(error)}): check MLFLOW_TRACKING_URI and {runs}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Records metrics of the open run."""
    mlflow.log_metrics(dict(metrics), step=step)


def log_files(path: Path, folder: str) -> None:
    """Stores a file, or all files of a folder, as artifacts of the open run."""
    if path.is_dir():
        mlflow.log_artifacts(str(path), folder)
    else:
        mlflow.log_artifact(str(path), folder)


def register_checkpoint(model: str, run_id: str, metrics: Mapping[str, float]) -> str:
    """Registers the run's `checkpoint` artifact as a new version of `model`, with the alias `challenger`.

    Returns:
        The registry's version number, as text.
    """
    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    source = f"{client.get_run(run_id).info.artifact_uri}/checkpoint"
    tags = {name: f"{value:.6f}" for name, value in metrics.items()}
    version = client.create_model_version(model, source=source, run_id=run_id, tags=tags)
    client.set_registered_model_alias(model, "challenger", version.version)
    return str(version.version)


def git_commit() -> str:
    """Returns the commit of the code that runs, with `-dirty` after it where files differ; empty outside git."""
    folder = Path(__file__).parent
    try:
        command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
