"""Records runs in MLflow; the default store is a SQLite file.

Every training run records its parameters, curves, metrics, plots and checkpoint, and registers a version of its model
with the alias `challenger`. The registered version refers to the files of the checkpoint; nothing is pickled. If
MLflow fails, the training continues without a record.
"""

import fcntl
import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

# Set before the import, unless the user has set them: no progress bars of MLflow, and fewer retries, so that a server
# that is down is noticed in seconds instead of minutes.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

with warnings.catch_warnings():  # MLflow's imports print deprecation warnings
    warnings.simplefilter("ignore")
    import mlflow

from traffic_signs.commit import git_commit

Result = TypeVar("Result")

EXPERIMENT = "traffic-signs"
# Columns of MLflow's schema with absolute addresses of artifacts.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def default_tracking_uri(runs: Path) -> str:
    """Returns $MLFLOW_TRACKING_URI, or the URI of a SQLite file in the folder of runs."""
    return os.environ.get("MLFLOW_TRACKING_URI") or database_uri(runs / "mlflow.db")


def database_uri(path: Path) -> str:
    """Returns the URI of a SQLite file for MLflow, with special characters of the path escaped."""
    # SQLAlchemy reads options after a question mark and decodes percent signs. For a path with one of them MLflow also
    # creates an empty folder with the escaped name.
    return "sqlite:///" + re.sub(r"\?|%(?=[0-9a-fA-F]{2})", lambda sign: f"%{ord(sign[0]):02X}", str(path.resolve()))


class Tracker:
    """Records one run; after a failure of MLflow it warns once and records nothing more.

    `warn` receives a sentence with the reason. `run_id` is that of the open MLflow run; if it is empty, nothing is
    recorded.
    """

    def __init__(self, warn: Callable[[str], None], run_id: str = "") -> None:
        self.run_id = run_id
        self._warn = warn
        self._is_recording = bool(run_id)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Records metrics."""
        self.record(lambda: mlflow.log_metrics(dict(metrics), step=step))

    def log_files(self, folder: Path) -> None:
        """Stores all files of a folder as artifacts, under its name."""
        self.record(lambda: mlflow.log_artifacts(str(folder), folder.name))

    def register_checkpoint(self, model: str, metrics: Mapping[str, float]) -> str:
        """Registers the run's `checkpoint` artifact as a new version of `model`, with the alias `challenger`.

        Returns the registry's version number, as text; empty if MLflow has failed.
        """
        return self.record(lambda: _register(model, self.run_id, metrics)) or ""

    def record(self, record: Callable[[], Result]) -> Result | None:
        """Returns the result of a function of MLflow; None if MLflow fails, or has failed before."""
        if not self._is_recording:
            return None
        try:
            return record()
        except Exception as error:  # MLflow lets the errors of its database and network libraries through
            self._is_recording = False
            self._warn(
                f"MLflow at {without_password(mlflow.get_tracking_uri())} has failed ({first_line(error)}): training "
                "continues, its files stay in the run's folder, but MLflow records nothing more and no version"
            )
            return None


@contextmanager
def tracked_run(
    name: str, runs: Path, parameters: Mapping[str, object], warn: Callable[[str], None], run_id: str = ""
) -> Iterator[Tracker]:
    """Opens an MLflow run, with system metrics; it ends as FAILED when the block raises.

    The tracker records nothing if MLflow cannot be used.

    Args:
        runs: folder of the SQLite database and its artifacts.
        parameters: the configuration to record.
        warn: receives a sentence if the run is not recorded.
        run_id: id of an interrupted run to continue; empty for a new run.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # MLflow's system monitor warns about every metric that a machine does not have.
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    uri = default_tracking_uri(runs)
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    failed = True
    try:
        try:
            runs.mkdir(parents=True, exist_ok=True)
            tracker = Tracker(warn, _open_run(name, runs, uri, run_id))
        except Exception as error:  # MLflow also raises the errors of its database and network libraries
            warn(
                f"MLflow at {without_password(uri)} cannot be used ({first_line(error)}): training continues "
                f"without a record. Check MLFLOW_TRACKING_URI and {runs}"
            )
            tracker = Tracker(warn)
        if not run_id:
            tracker.record(lambda: mlflow.log_params({**parameters, "git_commit": git_commit()}))
        yield tracker
        failed = False
    finally:
        _end_run("FAILED" if failed else "FINISHED")
        # MLflow writes its address into the environment; the next run must see the user's setting.
        if chosen is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)


def _open_run(name: str, runs: Path, uri: str, run_id: str) -> str:
    mlflow.set_tracking_uri(uri)
    with (runs / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two concurrent first runs would both create the database
        artifacts, is_own = (runs / "artifacts").resolve(), uri == database_uri(runs / "mlflow.db")
        location = artifacts.as_uri() if uri.startswith("sqlite:") else None
        known = mlflow.get_experiment_by_name(EXPERIMENT)
        if known is None:
            mlflow.create_experiment(EXPERIMENT, artifact_location=location)
        elif location and is_own and known.artifact_location != location and artifacts.is_dir():
            _move_artifacts(runs, known.artifact_location, location)
    mlflow.set_experiment(EXPERIMENT)
    run = mlflow.start_run(run_id=run_id or None, run_name=None if run_id else name, log_system_metrics=True)
    return str(run.info.run_id)


def _move_artifacts(runs: Path, old: str, new: str) -> None:
    """Updates the addresses of the artifacts in a database whose folder was moved or copied.

    Otherwise MLflow would create the old folder again, or write into the original of the copy.
    """
    with closing(sqlite3.connect(runs / "mlflow.db", timeout=30)) as database, database:
        for table, column in PLACES:
            database.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"old": old, "new": new},
            )


def _end_run(status: str) -> None:
    if mlflow.active_run() is None:
        return
    try:
        mlflow.end_run(status)
    except Exception:  # the tracker has warned already
        logging.getLogger(__name__).debug("MLflow did not take the end of the run", exc_info=True)


def _register(model: str, run_id: str, metrics: Mapping[str, float]) -> str:
    client = mlflow.MlflowClient()
    # A run that was interrupted right after its registration already has its version.
    known = client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'")
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    source = f"{client.get_run(run_id).info.artifact_uri}/checkpoint"
    tags = {name: f"{value:.6f}" for name, value in metrics.items()}
    version = known[0] if known else client.create_model_version(model, source=source, run_id=run_id, tags=tags)
    client.set_registered_model_alias(model, "challenger", version.version)
    return str(version.version)


def first_line(error: Exception) -> str:
    """Returns the first line of an error; MLflow's errors have many."""
    return without_password(str(error).splitlines()[0])[:300] if str(error) else type(error).__name__


def without_password(text: str) -> str:
    """Removes user names and passwords from the URLs in a text."""
    return re.sub(r"//[^/@\s]*@", "//", text)
