"""What libraries find around them. The packages of this project prepare it before they import one."""

import os
import tempfile
from pathlib import Path

# No library calls home.
SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29 on would keep what it runs, and send it to its vendor
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # the import would ask the network for a newer version
    "DO_NOT_TRACK": "1",  # what others have agreed on
}

# Meant for another program around this one: prometheus_client would write files for it, MLflow write into its run, and
# uvicorn read the number of its processes.
FOREIGN = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir", "MLFLOW_RUN_ID", "WEB_CONCURRENCY")


def drop_foreign_variables() -> None:
    """Takes variables out of the environment of a command that libraries of it would wrongly heed."""
    for name in FOREIGN:
        os.environ.pop(name, None)


def prepare_environment() -> None:
    """Sets variables that libraries read, here and in what is started; what the user has set stays.

    A user of a container may have no home folder, without which MLflow cannot be imported.
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
        os.environ.setdefault("USER", "signs")  # getpass.getuser() finds no name either
