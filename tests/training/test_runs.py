"""Tests of whole training runs on a tiny data set, recorded in a real MLflow."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.tiny_gtsdb import TinyGtsdb
from training.checkpoint import load_checkpoint
from training.data.classes import CLASS_NAMES
from training.data.crops import Crops
from training.data.gtsdb import load_gtsdb
from training.errors import DataError, TrainingError
from training.models.classifier import predict_probabilities
from training.progress import silent
from training.runs import INPUT_SIZE, MODEL_NAME, cross_validate, run_training
from training.tracking import EXPERIMENT
from training.train import TrainingConfig

CONFIG = TrainingConfig(epochs=2, batch_size=4, device="cpu")


def _client(runs: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")


def _statuses(runs: Path) -> list[str]:
    experiment = _client(runs).get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    return [run.info.status for run in _client(runs).search_runs([experiment.experiment_id])]


def test_run_leaves_checkpoint_plots_record_and_registered_version(
    gtsdb: TinyGtsdb, runs: Path, tmp_path: Path
) -> None:
    calls: list[tuple[str, int, int]] = []
    dataset = load_gtsdb(gtsdb.zip)

    run = run_training(dataset, CONFIG, "first", runs, progress=lambda *call: calls.append(call))

    # what is returned
    assert run.folder == runs / "first"
    assert run.registered_version == "1"
    assert run.probabilities.shape == (3, 43)
    assert (len(run.train_crops), len(run.test_crops)) == (8, 3)
    assert run.metrics.keys() == {"test_accuracy", "test_balanced_accuracy"}
    assert run.metrics["test_accuracy"] == run.evaluation.accuracy

    # the checkpoint
    model, info = load_checkpoint(run.checkpoint)
    assert sorted(path.name for path in run.checkpoint.iterdir()) == ["model.json", "weights.safetensors"]
    assert (info.architecture, info.input_size, info.run_id) == (MODEL_NAME, INPUT_SIZE, run.run_id)
    assert info.class_names == list(CLASS_NAMES)
    assert info.data == {"name": "gtsdb=FullIJCNN2013.zip", "fingerprint": run.train_crops.fingerprint}
    assert info.metrics == run.metrics
    again = predict_probabilities(model, torch.from_numpy(run.test_crops.images)).numpy()
    assert np.array_equal(again, run.probabilities)

    # the plots
    for name in ("curves.png", "confusion_matrix.png"):
        with Image.open(run.folder / "plots" / name) as image:
            image.load()
            assert image.format == "PNG"
    curve = json.loads((run.folder / "plots" / "curves.json").read_text())
    assert [report["epoch"] for report in curve] == [1, 2]

    # the record
    client = _client(runs)
    recorded = client.get_run(run.run_id)
    assert (recorded.info.run_name, recorded.info.status) == ("first", "FINISHED")
    assert recorded.data.params["epochs"] == "2"
    assert recorded.data.params["seed"] == "0"
    assert recorded.data.params["data_fingerprint"] == run.train_crops.fingerprint
    assert recorded.data.metrics["test_accuracy"] == pytest.approx(run.metrics["test_accuracy"])
    for key in ("train_loss", "train_accuracy", "train_learning_rate"):
        assert [metric.step for metric in client.get_metric_history(run.run_id, key)] == [1, 2]
    artifacts = {file.path for folder in ("plots", "checkpoint") for file in client.list_artifacts(run.run_id, folder)}
    assert artifacts == {
        "plots/curves.png",
        "plots/confusion_matrix.png",
        "plots/curves.json",
        "checkpoint/model.json",
        "checkpoint/weights.safetensors",
    }

    # the registered version
    version = client.get_model_version_by_alias(MODEL_NAME, "challenger")
    assert (str(version.version), version.run_id) == ("1", run.run_id)
    assert version.tags["test_accuracy"] == f"{run.metrics['test_accuracy']:.6f}"
    source = Path(mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path / "copy")))
    weights = "weights.safetensors"
    assert (source / weights).read_bytes() == (run.checkpoint / weights).read_bytes()

    # the progress
    for what, total in (("reading training scenes", 4), ("reading test scenes", 2), ("training epochs", 2)):
        assert [call for call in calls if call[0] == what][-1] == (what, total, total)


def test_same_run_again_is_bit_identical_and_the_next_version(gtsdb: TinyGtsdb, runs: Path) -> None:
    config = replace(CONFIG, epochs=1)
    first = run_training(load_gtsdb(gtsdb.zip), config, "first", runs)
    second = run_training(load_gtsdb(gtsdb.folder), config, "second", runs)

    weights = [(run.checkpoint / "weights.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]
    assert [first.registered_version, second.registered_version] == ["1", "2"]


def test_taken_name_is_a_training_error_and_changes_nothing(gtsdb: TinyGtsdb, runs: Path) -> None:
    (runs / "first" / "checkpoint").mkdir(parents=True)

    with pytest.raises(TrainingError, match=r"there is a run 'first' in .* already: choose another --name"):
        run_training(load_gtsdb(gtsdb.folder), CONFIG, "first", runs)
    assert _statuses(runs) == []
    assert list((runs / "first" / "checkpoint").iterdir()) == []


def test_data_that_cannot_be_used_is_a_data_error_before_anything_is_recorded(gtsdb: TinyGtsdb, runs: Path) -> None:
    for path in gtsdb.folder.glob("006*.jpg"):
        path.unlink()

    with pytest.raises(DataError, match="no labelled signs in its test split"):
        run_training(load_gtsdb(gtsdb.folder), CONFIG, "first", runs)
    assert _statuses(runs) == []
    assert not (runs / "first").exists()


def test_diverging_run_is_a_training_error_and_ends_failed_without_a_checkpoint(gtsdb: TinyGtsdb, runs: Path) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        run_training(load_gtsdb(gtsdb.folder), replace(CONFIG, learning_rate=1e30), "first", runs)

    assert _statuses(runs) == ["FAILED"]
    assert not (runs / "first").exists()


def test_failed_name_can_be_used_again(gtsdb: TinyGtsdb, runs: Path) -> None:
    dataset = load_gtsdb(gtsdb.folder)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        run_training(dataset, replace(CONFIG, learning_rate=1e30), "first", runs)

    assert run_training(dataset, replace(CONFIG, epochs=1), "first", runs).checkpoint.is_dir()
    assert sorted(_statuses(runs)) == ["FAILED", "FINISHED"]


def test_server_that_is_down_is_a_training_error(
    gtsdb: TinyGtsdb, tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(TrainingError, match=r"MLflow at http://127\.0\.0\.1:1 cannot be used"):
        run_training(load_gtsdb(gtsdb.folder), CONFIG, "first", tmp_path / "runs")
    assert not (tmp_path / "runs" / "first").exists()


def test_folds_are_cross_validated_and_recorded(gtsdb: TinyGtsdb, runs: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    config = replace(CONFIG, epochs=1)

    run = run_training(
        load_gtsdb(gtsdb.folder), config, "folded", runs, folds=2, progress=lambda *call: calls.append(call)
    )

    accuracy = run.metrics["cross_validated_accuracy"]
    assert accuracy in {hits / 8 for hits in range(9)}
    assert _client(runs).get_run(run.run_id).data.metrics["cross_validated_accuracy"] == pytest.approx(accuracy)
    assert load_checkpoint(run.checkpoint)[1].metrics["cross_validated_accuracy"] == accuracy
    for number in (1, 2):
        assert (f"fold {number} of 2: training epochs", 1, 1) in calls


@pytest.mark.parametrize("folds", [1, 5])
def test_folds_that_cannot_be_dealt_are_a_training_error(gtsdb: TinyGtsdb, runs: Path, folds: int) -> None:
    with pytest.raises(TrainingError, match=rf"cannot cross-validate: {folds} folds of 4 images"):
        run_training(load_gtsdb(gtsdb.folder), CONFIG, "folded", runs, folds=folds)
    assert _statuses(runs) == ["FAILED"]


def test_cross_validation_repeats(coloured_crops: Crops) -> None:
    config = replace(CONFIG, epochs=1, batch_size=16)

    first, second = (cross_validate(coloured_crops, config, 2, silent) for _ in range(2))

    assert first == second
    assert 0 <= first <= 1
