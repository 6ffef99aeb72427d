"""Tests of whole training runs on a tiny data set, recorded in a real MLflow."""

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch
from PIL import Image

from tests.training.classifier.short_runs import RECIPE, client_of, sources, statuses, weights, with_config
from tests.training.tiny_gtsdb import TinyGtsdb
from traffic_signs.classes import CLASS_NAMES
from traffic_signs.commit import git_commit
from training.checkpoint import load_checkpoint
from training.classifier.runs import INPUT_SIZE, train_classifier
from training.data.gtsdb import load_gtsdb
from training.data.records import Dataset
from training.device import pick_device, pick_precision, pick_workers
from training.errors import DataError, TrainingError
from training.models.classifier import MODEL_NAME, predict_logits
from training.recipe import Recipe
from training.runs import RunReporter
from training.train import EpochReport


def test_run_leaves_checkpoint_plots_record_and_registered_version(
    gtsdb: TinyGtsdb, runs: Path, tmp_path: Path
) -> None:
    calls: list[tuple[str, int, int]] = []
    notices: list[str] = []
    reporter = RunReporter(lambda *call: calls.append(call), notices.append)

    run = train_classifier([load_gtsdb(gtsdb.zip)], RECIPE, "first", runs, reporter)

    # what is returned
    assert run.folder == runs / "first"
    assert run.registered_version == "1"
    assert run.answers["gtsdb"].shape == (3, 43)
    assert (len(run.data.train), len(run.data.tests["gtsdb"])) == (8, 3)
    assert run.metrics.keys() == {"gtsdb_test_accuracy", "gtsdb_test_balanced_accuracy", "gtsdb_test_ece"}
    assert run.metrics["gtsdb_test_accuracy"] == run.evaluations["gtsdb"].accuracy

    # the checkpoint
    model, info = load_checkpoint(run.checkpoint)
    assert sorted(path.name for path in run.checkpoint.iterdir()) == ["model.json", "weights.safetensors"]
    assert (info.architecture, info.input_size, info.run_id) == ("small_resnet", [INPUT_SIZE, INPUT_SIZE], run.run_id)
    assert info.class_names == list(CLASS_NAMES)
    assert info.data == {
        "name": "gtsdb=FullIJCNN2013.zip",
        "fingerprint": run.data.train.fingerprint,
        "free_of": "gtsdb",
    }
    assert info.metrics == run.metrics
    again = predict_logits(model, torch.from_numpy(run.data.tests["gtsdb"].images))
    assert torch.equal(again, run.answers["gtsdb"])

    # the plots
    pictures = {path.relative_to(run.folder / "plots").as_posix() for path in run.folder.rglob("*.png")}
    assert pictures == {
        "curves.png",
        *(f"gtsdb_test/{name}.png" for name in ("confusion_matrix", "recall", "reliability", "mistakes")),
    }
    for name in pictures:
        with Image.open(run.folder / "plots" / name) as image:
            image.load()
            assert image.format == "PNG"
    curves = json.loads((run.folder / "plots" / "curves.json").read_text())
    assert [report["epoch"] for report in curves["train"]] == [1, 2]
    figures = json.loads((run.folder / "plots" / "gtsdb_test" / "evaluation.json").read_text())
    assert figures["accuracy"] == run.metrics["gtsdb_test_accuracy"]
    assert len(figures["mistakes"]) == figures["wrong"]

    # the record
    client = client_of(runs)
    recorded = client.get_run(run.run_id)
    assert (recorded.info.run_name, recorded.info.status) == ("first", "FINISHED")
    expected = {"epochs": "2", "seed": "0", "architecture": "small_resnet", "holdout": "0"}
    assert recorded.data.params.items() >= expected.items()
    assert recorded.data.params["fingerprint"] == run.data.train.fingerprint
    assert recorded.data.params["git_commit"] == git_commit()
    for key, value in run.metrics.items():
        assert recorded.data.metrics[key] == pytest.approx(value)
    for key in ("train_loss", "train_accuracy", "train_learning_rate", "train_images_per_second"):
        assert [metric.step for metric in client.get_metric_history(run.run_id, key)] == [1, 2]
    artifacts = {file.path for folder in ("plots", "checkpoint") for file in client.list_artifacts(run.run_id, folder)}
    assert {"plots/curves.png", "plots/gtsdb_test", "checkpoint/model.json"} <= artifacts

    # the registered version
    version = client.get_model_version_by_alias(MODEL_NAME, "challenger")
    assert (str(version.version), version.run_id) == ("1", run.run_id)
    assert version.tags["gtsdb_test_accuracy"] == f"{run.metrics['gtsdb_test_accuracy']:.6f}"
    source = Path(mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path / "copy")))
    assert (source / "weights.safetensors").read_bytes() == weights(run)

    # the progress and the notices
    for what, total in (("reading gtsdb training images", 4), ("reading gtsdb test images", 2), ("train: epochs", 2)):
        assert [call for call in calls if call[0] == what][-1] == (what, total, total)
    (notice,) = notices
    assert notice.startswith("no training sign shows 39 of the 43 classes")


def test_what_is_left_to_the_machine_is_recorded_as_it_came_out(gtsdb: TinyGtsdb, runs: Path) -> None:
    run = train_classifier(sources(gtsdb), with_config(device="auto", precision="auto", workers=None), "first", runs)

    params = client_of(runs).get_run(run.run_id).data.params
    device = pick_device("auto")
    expected = (str(device), pick_precision("auto", device), str(pick_workers(None, device)))
    assert (params["device"], params["precision"], params["workers"]) == expected


def test_same_run_again_is_bit_identical_and_the_next_version(gtsdb: TinyGtsdb, runs: Path) -> None:
    first = train_classifier([load_gtsdb(gtsdb.zip)], with_config(epochs=1), "first", runs)
    second = train_classifier([load_gtsdb(gtsdb.folder)], with_config(epochs=1), "second", runs)

    assert weights(first) == weights(second)
    assert [first.registered_version, second.registered_version] == ["1", "2"]


def test_taken_name_is_a_training_error_and_changes_nothing(gtsdb: TinyGtsdb, runs: Path) -> None:
    (runs / "first" / "checkpoint").mkdir(parents=True)

    with pytest.raises(TrainingError, match=r"there is a run 'first' in .* already: choose another --name"):
        train_classifier(sources(gtsdb), RECIPE, "first", runs)
    assert statuses(runs) == []
    assert list((runs / "first" / "checkpoint").iterdir()) == []


def test_folder_that_cannot_be_written_is_reported_before_the_data_is_read(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    (tmp_path / "file").touch()

    with pytest.raises(TrainingError, match=r"nothing can be written into .*/file: check its rights"):
        train_classifier(
            sources(gtsdb), RECIPE, "first", tmp_path / "file", RunReporter(lambda *call: calls.append(call))
        )
    assert calls == []


def test_data_that_cannot_be_used_is_a_data_error_before_anything_is_recorded(gtsdb: TinyGtsdb, runs: Path) -> None:
    for path in gtsdb.folder.glob("000*.jpg"):
        path.unlink()

    with pytest.raises(DataError, match="no labelled training signs"):
        train_classifier(sources(gtsdb), RECIPE, "first", runs)
    assert statuses(runs) == []
    assert not (runs / "first").exists()


def test_data_without_a_test_split_is_trained_on_and_reported(gtsdb: TinyGtsdb, runs: Path) -> None:
    for path in gtsdb.folder.glob("006*.jpg"):
        path.unlink()
    notices: list[str] = []

    run = train_classifier(sources(gtsdb), with_config(epochs=1), "first", runs, RunReporter(notify=notices.append))

    assert run.evaluations == {}
    assert run.checkpoint.is_dir()
    assert any("no test signs" in notice for notice in notices)


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (replace(RECIPE, architecture="transformer"), "unknown architecture 'transformer'"),
        (with_config(device="abacus"), "no device 'abacus' here"),
        (replace(RECIPE, folds=1), "set --folds to 2 or more"),
        (replace(with_config(patience=2), holdout=0), "patience needs held-out data"),
    ],
)
def test_setting_that_cannot_be_is_reported_before_the_data_is_read(runs: Path, recipe: Recipe, problem: str) -> None:
    def read(_: object) -> bytes:
        pytest.fail("the data must not be read")

    with pytest.raises(TrainingError, match=problem):
        train_classifier([Dataset("gtsdb=x", (), read)], recipe, "first", runs)
    assert not (runs / "first").exists()


@pytest.mark.parametrize("specs", [[], ["given"]])
def test_diverging_run_is_a_training_error_and_ends_failed_without_a_trace(
    gtsdb: TinyGtsdb, runs: Path, specs: list[str], diverging: None
) -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train_classifier(sources(gtsdb), RECIPE, "first", runs, specs=specs)

    assert statuses(runs) == ["FAILED"]
    assert not (runs / "first").exists()


def test_server_that_is_down_costs_the_record_and_not_the_run(
    gtsdb: TinyGtsdb, tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    notices: list[str] = []

    run = train_classifier(sources(gtsdb), RECIPE, "first", tmp_path / "runs", RunReporter(notify=notices.append))

    assert (run.run_id, run.registered_version) == ("", "")
    assert load_checkpoint(run.checkpoint)[1].metrics == run.metrics
    assert "without a record" in notices[-1]


def test_curve_reports_are_json(gtsdb: TinyGtsdb, runs: Path) -> None:
    run = train_classifier(sources(gtsdb), with_config(epochs=1), "first", runs)

    (report,) = json.loads((run.folder / "plots" / "curves.json").read_text())["train"]
    assert EpochReport(**report).epoch == 1
