"""Recipe of a training that takes seconds, and what a run of it left."""

from dataclasses import replace
from pathlib import Path

import mlflow

from tests.training.tiny_gtsdb import TinyGtsdb
from training.data.gtsdb import load_gtsdb
from training.data.records import Dataset
from training.recipe import Recipe, TrainingConfig
from training.runs import FinishedRun
from training.tracking import EXPERIMENT

RECIPE = Recipe(TrainingConfig(epochs=2, batch_size=4, device="cpu", precision="fp32", workers=0), holdout=0)


def with_config(**config: object) -> Recipe:
    return replace(RECIPE, config=replace(RECIPE.config, **config))  # type: ignore[arg-type]


def client_of(runs: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")


def statuses(runs: Path) -> list[str]:
    experiment = client_of(runs).get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    return [run.info.status for run in client_of(runs).search_runs([experiment.experiment_id])]


def sources(gtsdb: TinyGtsdb) -> list[Dataset]:
    return [load_gtsdb(gtsdb.folder)]


def weights(run: FinishedRun) -> bytes:
    return (run.checkpoint / "weights.safetensors").read_bytes()
