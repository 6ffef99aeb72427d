"""Fixtures of the training tests: a tiny data set, crops that are easy to learn, an empty tracker."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from tests.fixture_types import Once
from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import COLOURS, TinyGtsdb, write_tiny_gtsdb
from traffic_signs.ports import free_ports
from training.data.crops import Crops


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps PyTorch on one thread: on images this small, threads that share a busy machine only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def signs(run_signs: Signs) -> Signs:
    """Returns a function that runs `signs ARGUMENTS` in this process and returns its exit code."""
    return run_signs


@pytest.fixture
def free_port() -> int:
    """Returns a port of this machine that nobody listens on."""
    return free_ports(1)[0]


@pytest.fixture
def gtsdb(tmp_path: Path) -> TinyGtsdb:
    """Returns a data set that the test may change."""
    return write_tiny_gtsdb(tmp_path)


@pytest.fixture
def coloured_crops() -> Crops:
    """Returns 48 noisy crops of four classes, two an image, that only their colour distinguishes."""
    rng = np.random.default_rng(7)
    class_ids = np.tile(np.array(list(COLOURS), dtype=np.int64), 12)
    colours = np.array([COLOURS[int(class_id)] for class_id in class_ids])
    images = colours[:, None, None, :] + rng.integers(-25, 26, (len(class_ids), 24, 24, 3))
    sources = tuple(f"{index // 2:05}.jpg" for index in range(len(class_ids)))
    return Crops(images.clip(0, 255).astype(np.uint8), class_ids, sources, fingerprint="drawn")


@pytest.fixture(scope="session")
def empty_database(once: Once) -> Path:
    """Returns an MLflow database without runs: MLflow takes seconds to create one, a copy takes none."""
    made = once("mlflow", lambda folder: mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments())
    return made / "mlflow.db"


@pytest.fixture
def fresh_tracker(monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Iterator[None]:
    """Makes MLflow forget, before and after a test, what it keeps in the process and in the environment."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        # Set before it is deleted, so that monkeypatch also removes what MLflow itself leaves in the environment.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield
    while mlflow.active_run() is not None:
        mlflow.end_run()


@pytest.fixture
def runs(tmp_path: Path, fresh_tracker: None, empty_database: Path) -> Path:
    """Returns a folder of runs whose MLflow database is empty."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copyfile(empty_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has every loss of a classifier be no number, as after steps that were far too long."""
    monkeypatch.setattr("torch.nn.functional.cross_entropy", lambda logits, labels, **_: logits.sum() * float("nan"))
