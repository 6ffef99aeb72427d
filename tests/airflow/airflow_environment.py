"""Where Airflow is: it has an environment of its own, since its packages do not go together with the project's."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "airflow" / "dags"
NO_AIRFLOW = "no Airflow: run `make airflow` once, or name an environment in SIGNS_AIRFLOW"


def airflow_environment() -> Path:
    """Returns the folder of an environment with Airflow: SIGNS_AIRFLOW, or `.airflow`; skips where there is none."""
    folder = Path(os.environ.get("SIGNS_AIRFLOW", ROOT / ".airflow"))
    if not (folder / "bin" / "airflow").exists():
        pytest.skip(NO_AIRFLOW)
    return folder


def settings_of_airflow(home: Path) -> dict[str, str]:
    """Returns environment variables for an Airflow that keeps everything in a folder and waits for a busy machine."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "SIGNS_", "PYTHON"))}
    return clean | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "600",
    }
