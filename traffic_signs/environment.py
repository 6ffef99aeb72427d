"""Environment variables for third-party libraries. The packages of this project set them before importing one."""

import os
import tempfile
from pathlib import Path

# Switches off telemetry and update checks.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29 on records and sends usage data
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # the import looks up the newest version on the network
    "DO_NOT_TRACK": "1",  # read by many other tools
}

# Set for a parent program: prometheus_client would write its files, MLflow log into its run, and uvicorn start as many
# workers.
FOREIGN = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir", "MLFLOW_RUN_ID", "WEB_CONCURRENCY")


def drop_foreign_variables() -> None:
    """Removes variables that are meant for a parent program and that libraries would read."""
    for name in FOREIGN:
        os.environ.pop(name, None)


def prepare_environment() -> None:
    """Sets variables for libraries in this process and its children, unless the user has set them.

    Sets HOME too if the user has no home folder, as in some containers: MLflow cannot be imported without one.
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
        os.environ.setdefault("USER", "signs")  # getpass.getuser() finds no name either
