"""Tests of whole training runs of the detector on a tiny data set, recorded in a real MLflow."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import TinyGtsdb
from training.checkpoint import load_checkpoint
from training.data.dataset_mix import open_sources
from training.detector import task
from training.detector.predict import detect
from training.detector.runs import train_detector
from training.errors import DataError
from training.kinds import resume_run
from training.models.detector import ARCHITECTURES, MODEL_NAME, SignDetector
from training.recipe import Recipe, TrainingConfig
from training.runs import FinishedRun, RunReporter

CONFIG = TrainingConfig(epochs=2, batch_size=2, device="cpu", precision="fp32", workers=0)
RECIPE = Recipe(CONFIG, "centre_net", holdout=0.4, refit=False)


@pytest.fixture(autouse=True)
def small_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Smaller crops and fewer of them: what a run does is the same."""
    monkeypatch.setattr(task, "CROP_SIZE", 64)
    monkeypatch.setattr(task, "CROPS_A_SCENE", 2)
    yield


def _weights(run: FinishedRun) -> bytes:
    return (run.checkpoint / "weights.safetensors").read_bytes()


def test_run_leaves_checkpoint_plots_record_and_registered_version(gtsdb: TinyGtsdb, runs: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    run = train_detector(
        open_sources([f"gtsdb={gtsdb.zip}"]), RECIPE, "first", runs, RunReporter(lambda *call: calls.append(call))
    )

    model, info = load_checkpoint(run.checkpoint, MODEL_NAME)
    assert isinstance(model, SignDetector) and not model.training
    assert (info.architecture, info.input_size, info.run_id) == ("centre_net", [800, 1360], run.run_id)
    assert info.class_names == ["prohibitory", "mandatory", "danger", "other"]
    assert info.data["name"].startswith("gtsdb=") and len(info.data["fingerprint"]) == 64
    assert info.metrics == run.metrics
    assert {"validation_map50_95", "gtsdb_test_map50", "gtsdb_test_map50_benchmark"} <= run.metrics.keys()
    plots = {path.relative_to(run.folder / "plots").as_posix() for path in (run.folder / "plots").rglob("*.*")}
    assert {"curves.png", "curves.json", "gtsdb_test/evaluation.json", "gtsdb_test/precision_recall.png"} <= plots
    curve = json.loads((run.folder / "plots" / "curves.json").read_text())["train"]
    assert [report["epoch"] for report in curve] == [1, 2]
    assert all(0 <= report["validation_score"] <= 1 for report in curve)
    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    assert client.get_model_version_by_alias(MODEL_NAME, "challenger").run_id == run.run_id
    record = client.get_run(run.run_id)
    assert record.info.status == "FINISHED"
    assert {"train_map50", "held_out_map50", "validation_map50", "gtsdb_test_map50"} <= record.data.metrics.keys()
    assert ("evaluating scenes", 2, 2) in calls


def test_killed_run_reaches_the_same_weights(gtsdb: TinyGtsdb, runs: Path) -> None:
    specs = [f"gtsdb={gtsdb.zip}"]
    recipe = replace(RECIPE, holdout=0)
    whole = train_detector(open_sources(specs), recipe, "whole", runs)

    def interrupt(what: str, done: int, total: int) -> None:
        if what.endswith("epochs") and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_detector(open_sources(specs), recipe, "cut", runs, RunReporter(interrupt), specs)
    resumed = resume_run("cut", runs)

    assert _weights(resumed) == _weights(whole)


def test_cross_validation_evaluates_every_scene_by_a_network_that_has_not_seen_it(gtsdb: TinyGtsdb, runs: Path) -> None:
    recipe = replace(RECIPE, config=replace(CONFIG, epochs=1), folds=2, holdout=0)

    run = train_detector(open_sources([f"gtsdb={gtsdb.zip}"]), recipe, "folds", runs)

    assert "cross_validated_map50" in run.metrics and "validation_map50" not in run.metrics


def test_data_without_scenes_is_refused(runs: Path, gtsdb: TinyGtsdb) -> None:
    with pytest.raises(DataError, match="synthetic=20 has no street scenes"):
        train_detector(open_sources(["synthetic=20"]), RECIPE, "drawn", runs)
    with pytest.raises(DataError, match="give gtsdb=PATH, or another, once"):
        train_detector(open_sources([f"gtsdb={gtsdb.zip}", f"gtsdb={gtsdb.folder}"]), RECIPE, "two", runs)
    assert not (runs / "drawn").exists() and not (runs / "two").exists()


def test_command_trains_and_resume_knows_what_was_trained(
    gtsdb: TinyGtsdb, runs: Path, signs: Signs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import runs as shared

    arguments = ["train", "detector", "--data", f"gtsdb={gtsdb.zip}", "--runs", runs, "--name", "d", "--epochs", "1"]
    arguments += ["--batch-size", "2", "--holdout", "0", "--precision", "fp32", "--device", "cpu", "--json"]

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shared, "save_checkpoint", fail)
        assert signs(*arguments) == 130
    assert "signs train resume d" in capsys.readouterr().err
    assert signs("train", "resume", "d", "--runs", runs, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    recorded = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}").get_run(result["run_id"]).data.params
    assert (recorded["learning_rate"], recorded["weight_decay"]) == ("0.003", "0.02"), "the detector's own defaults"
    assert load_checkpoint(Path(result["checkpoint"]))[1].model == MODEL_NAME
    assert signs("train", "detector", "--data", "synthetic=3", "--runs", runs) == 1
    assert "has no street scenes" in capsys.readouterr().err


def test_detections_have_an_area_and_a_score() -> None:
    torch.manual_seed(0)
    scene = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)

    (found,) = detect(SignDetector(4, **ARCHITECTURES["centre_net_small"]), [scene])

    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert (found.scores > 0.01).all() and found.labels.dtype == np.int64
