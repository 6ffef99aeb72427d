"""Tests of whole training runs on a tiny data set, recorded in a real MLflow."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.training.tiny_gtsdb import TinyGtsdb
from traffic_signs.classes import CLASS_NAMES, ClassSet
from traffic_signs.commit import git_commit
from traffic_signs.progress import silent
from training.checkpoint import load_checkpoint
from training.classifier.runs import INPUT_SIZE, hold_out, train_classifier
from training.data.crops import Crops
from training.data.dataset_mix import CropData, gather_crops, open_sources
from training.data.gtsdb import load_gtsdb
from training.data.records import Dataset, Drawings
from training.device import pick_device, pick_precision, pick_workers
from training.errors import CheckpointError, DataError, TrainingError
from training.folds import MIN_SOURCES_FOR_HOLDOUT, deal_folds
from training.kinds import resume_run
from training.models.classifier import MODEL_NAME, SignClassifier, predict_logits
from training.recipe import Recipe, TrainingConfig
from training.runs import FinishedRun, RunReporter
from training.tracking import EXPERIMENT
from training.train import EpochReport
from training.trainer import cross_validate

RECIPE = Recipe(TrainingConfig(epochs=2, batch_size=4, device="cpu", precision="fp32", workers=0), holdout=0)


def _with(**config: object) -> Recipe:
    return replace(RECIPE, config=replace(RECIPE.config, **config))  # type: ignore[arg-type]


def _client(runs: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")


def _statuses(runs: Path) -> list[str]:
    experiment = _client(runs).get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    return [run.info.status for run in _client(runs).search_runs([experiment.experiment_id])]


def _sources(gtsdb: TinyGtsdb) -> list[Dataset]:
    return [load_gtsdb(gtsdb.folder)]


def _weights(run: FinishedRun) -> bytes:
    return (run.checkpoint / "weights.safetensors").read_bytes()


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
    client = _client(runs)
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
    assert (source / "weights.safetensors").read_bytes() == _weights(run)

    # the progress and the notices
    for what, total in (("reading gtsdb training images", 4), ("reading gtsdb test images", 2), ("train: epochs", 2)):
        assert [call for call in calls if call[0] == what][-1] == (what, total, total)
    (notice,) = notices
    assert notice.startswith("no training sign shows 39 of the 43 classes")


def test_what_is_left_to_the_machine_is_recorded_as_it_came_out(gtsdb: TinyGtsdb, runs: Path) -> None:
    run = train_classifier(_sources(gtsdb), _with(device="auto", precision="auto", workers=None), "first", runs)

    params = _client(runs).get_run(run.run_id).data.params
    device = pick_device("auto")
    expected = (str(device), pick_precision("auto", device), str(pick_workers(None, device)))
    assert (params["device"], params["precision"], params["workers"]) == expected


def test_same_run_again_is_bit_identical_and_the_next_version(gtsdb: TinyGtsdb, runs: Path) -> None:
    first = train_classifier([load_gtsdb(gtsdb.zip)], _with(epochs=1), "first", runs)
    second = train_classifier([load_gtsdb(gtsdb.folder)], _with(epochs=1), "second", runs)

    assert _weights(first) == _weights(second)
    assert [first.registered_version, second.registered_version] == ["1", "2"]


def test_hold_out_is_watched_calibrates_and_is_learned_from_at_last(gtsdb: TinyGtsdb, runs: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    recipe = replace(_with(epochs=1), holdout=0.5, refit=True)

    run = train_classifier(_sources(gtsdb), recipe, "first", runs, RunReporter(lambda *call: calls.append(call)))

    assert {"validation_accuracy", "temperature", "unknown_threshold"} <= run.metrics.keys()
    assert isinstance(run.model, SignClassifier)
    assert float(run.model.temperature) == pytest.approx(run.metrics["temperature"])
    assert ("refit: epochs", 1, 1) in calls
    curves = json.loads((run.folder / "plots" / "curves.json").read_text())
    assert curves["train"][0]["validation_loss"] > 0
    assert curves["refit"][0]["validation_loss"] is None
    # A final figure is no point of a curve, which would hide it where patience keeps an earlier epoch.
    client = _client(runs)
    assert {"held_out_loss", "held_out_accuracy"} <= client.get_run(run.run_id).data.metrics.keys()
    assert all(len(client.get_metric_history(run.run_id, figure)) == 1 for figure in run.metrics)


def test_without_a_refit_the_watched_network_is_kept(gtsdb: TinyGtsdb, runs: Path) -> None:
    recipe = replace(_with(epochs=1), holdout=0.5, refit=False)

    run = train_classifier(_sources(gtsdb), recipe, "first", runs)

    assert json.loads((run.folder / "plots" / "curves.json").read_text()).keys() == {"train"}
    assert "temperature" in run.metrics


def test_hold_out_that_no_class_can_spare_is_left_out(gtsdb: TinyGtsdb, runs: Path) -> None:
    notices: list[str] = []
    recipe = replace(_with(epochs=1), holdout=0.1)

    run = train_classifier(_sources(gtsdb), recipe, "first", runs, RunReporter(notify=notices.append))

    assert "temperature" not in run.metrics
    (notice,) = [each for each in notices if "raise --holdout" in each]
    assert "have fewer than the 10 tracks or images" in notice and "not calibrated" in notice
    with pytest.raises(TrainingError, match=r"fewer than the 10 .*raise --holdout, or leave out --patience"):
        train_classifier(_sources(gtsdb), replace(_with(epochs=1, patience=2), holdout=0.1), "second", runs)


def _photographs(counts: Sequence[int]) -> CropData:
    """Returns so many crops of each class, each of an image of its own."""
    class_ids = np.repeat(np.arange(len(counts)), counts)
    names = tuple(map(str, range(len(class_ids))))
    crops = Crops(np.zeros((len(class_ids), 8, 8, 3), np.uint8), class_ids, names, "none")
    classes = ClassSet.of(["bin", "lamp", "tree"])
    return CropData("photographs", crops, {}, (), (), classes, np.zeros(len(crops), np.bool_))


@pytest.mark.parametrize(
    ("counts", "held_out", "said"),
    [
        ((20, 30, 40), [1, 1, 2], ""),
        ((7, 20, 40), [0, 1, 2], "1 of 3 classes, such as 'bin' with 7, have fewer than the 20 tracks or images"),
        (
            (5, 12, 19),
            [1, 1, 1],
            "3 of 3 classes, such as 'bin' with 5, .*: one of each with at least 5 is held out",
        ),
        ((4, 12, 3), [0, 1, 0], "such as 'tree' with 3, .*: one of each with at least 5 is held out"),
        ((4, 2, 3), [0, 0, 0], "such as 'lamp' with 2, .* not calibrated"),
    ],
)
def test_small_classes_are_held_out_one_by_one_and_reported(
    counts: tuple[int, ...], held_out: list[int], said: str
) -> None:
    data = _photographs(counts)

    held, notice = hold_out(data, 0.05, seed=0)

    assert np.bincount(data.train.class_ids[held], minlength=3).tolist() == held_out
    assert bool(notice) == bool(said) and re.search(said, notice)
    assert MIN_SOURCES_FOR_HOLDOUT == 5


class _KilledError(BaseException):
    """Stands for a kill -9, which no process survives; that one is in the tests of the command line."""


@pytest.mark.parametrize(
    "stage",
    ["fold 1 of 2", *(pytest.param(stage, marks=pytest.mark.long) for stage in ("train", "refit"))],
)
def test_interrupted_run_is_resumed_to_the_same_result(gtsdb: TinyGtsdb, runs: Path, stage: str) -> None:
    recipe, specs = replace(RECIPE, holdout=0.5, folds=2, refit=True), [f"gtsdb={gtsdb.folder}"]
    whole = train_classifier(open_sources(specs), recipe, "whole", runs, specs=specs)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == (f"{stage}: epochs", 1):
            raise _KilledError

    with pytest.raises(_KilledError):
        train_classifier(open_sources(specs), recipe, "cut", runs, RunReporter(interrupt), specs)
    with pytest.raises(TrainingError, match=r"was interrupted: `signs train resume cut --runs .*`"):
        train_classifier(open_sources(specs), recipe, "cut", runs, specs=specs)
    resumed = resume_run("cut", runs)

    assert _weights(resumed) == _weights(whole)
    assert resumed.metrics == whole.metrics
    assert sorted(path.name for path in resumed.folder.iterdir()) == ["checkpoint", "plots"]
    assert sorted(_statuses(runs)) == ["FINISHED", "FINISHED"]
    with pytest.raises(TrainingError, match="is finished"):
        resume_run("cut", runs)


def test_run_is_resumed_on_other_hardware_with_its_own_batches(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other hardware is simulated: here is one kind only."""
    recipe, specs = _with(batch_size=0, learning_rate=0, precision="auto"), [f"gtsdb={gtsdb.folder}"]
    monkeypatch.setattr("training.device._gains_by_bf16", lambda device: False)
    whole = train_classifier(open_sources(specs), recipe, "whole", runs, specs=specs)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("train: epochs", 1):
            raise _KilledError

    with pytest.raises(_KilledError):
        train_classifier(open_sources(specs), recipe, "cut", runs, RunReporter(interrupt), specs)
    settings = runs / "cut" / "run.json"
    settings.write_text(settings.read_text().replace('"device": "cpu"', '"device": "hpu"'))
    monkeypatch.setattr("training.device._gains_by_bf16", lambda device: True)
    monkeypatch.setattr("training.recipe.BATCHES", ((5_000, 2, 1e-3),))
    with pytest.raises(TrainingError, match=r"no device 'hpu' here .*: give --device cpu"):
        resume_run("cut", runs)

    assert _weights(resume_run("cut", runs, device="cpu")) == _weights(whole)


def test_run_that_was_never_begun_cannot_be_resumed(runs: Path) -> None:
    with pytest.raises(TrainingError, match="there is no interrupted run 'cut'"):
        resume_run("cut", runs)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"specs": [], "recipe": {"config": {"lr": 1}}, "run_id": ""}'])
def test_damaged_settings_are_a_training_error(runs: Path, content: str) -> None:
    (runs / "cut").mkdir()
    (runs / "cut" / "run.json").write_text(content)

    with pytest.raises(TrainingError, match=r"run\.json cannot be used"):
        resume_run("cut", runs)


def test_full_disk_keeps_what_is_there_to_go_on_with(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full disk is simulated: filling a real one would disturb the machine."""
    from training import state

    specs = [f"gtsdb={gtsdb.folder}"]
    whole = train_classifier(open_sources(specs), RECIPE, "whole", runs, specs=specs)
    writes = [0]

    def fill(*arguments: object, **named: object) -> None:
        writes[0] += 1
        if writes[0] == 2:
            raise OSError(28, "No space left on device")
        save_file(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(state, "save_file", fill)
        with pytest.raises(CheckpointError, match=r"No space left on device.*`signs train resume`"):
            train_classifier(open_sources(specs), RECIPE, "cut", runs, specs=specs)

    assert not list((runs / "cut").rglob(".staging-*"))
    assert _weights(resume_run("cut", runs)) == _weights(whole)


def test_run_whose_plots_fail_keeps_its_checkpoint_and_is_registered_by_resuming(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [f"gtsdb={gtsdb.folder}"]

    def fail(*_: object) -> None:
        raise ValueError("a plot fails")

    with monkeypatch.context() as patch:
        patch.setattr("training.classifier.report.draw_recall", fail)
        with pytest.raises(ValueError, match="a plot fails"):
            train_classifier(open_sources(specs), RECIPE, "cut", runs, specs=specs)
    resumed = resume_run("cut", runs)

    assert load_checkpoint(resumed.checkpoint) and resumed.registered_version == "1"
    assert not (resumed.folder / "run.json").exists()


def test_taken_name_is_a_training_error_and_changes_nothing(gtsdb: TinyGtsdb, runs: Path) -> None:
    (runs / "first" / "checkpoint").mkdir(parents=True)

    with pytest.raises(TrainingError, match=r"there is a run 'first' in .* already: choose another --name"):
        train_classifier(_sources(gtsdb), RECIPE, "first", runs)
    assert _statuses(runs) == []
    assert list((runs / "first" / "checkpoint").iterdir()) == []


def test_folder_that_cannot_be_written_is_reported_before_the_data_is_read(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    (tmp_path / "file").touch()

    with pytest.raises(TrainingError, match=r"nothing can be written into .*/file: check its rights"):
        train_classifier(
            _sources(gtsdb), RECIPE, "first", tmp_path / "file", RunReporter(lambda *call: calls.append(call))
        )
    assert calls == []


def test_data_that_cannot_be_used_is_a_data_error_before_anything_is_recorded(gtsdb: TinyGtsdb, runs: Path) -> None:
    for path in gtsdb.folder.glob("000*.jpg"):
        path.unlink()

    with pytest.raises(DataError, match="no labelled training signs"):
        train_classifier(_sources(gtsdb), RECIPE, "first", runs)
    assert _statuses(runs) == []
    assert not (runs / "first").exists()


def test_data_without_a_test_split_is_trained_on_and_reported(gtsdb: TinyGtsdb, runs: Path) -> None:
    for path in gtsdb.folder.glob("006*.jpg"):
        path.unlink()
    notices: list[str] = []

    run = train_classifier(_sources(gtsdb), _with(epochs=1), "first", runs, RunReporter(notify=notices.append))

    assert run.evaluations == {}
    assert run.checkpoint.is_dir()
    assert any("no test signs" in notice for notice in notices)


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (replace(RECIPE, architecture="transformer"), "unknown architecture 'transformer'"),
        (_with(device="abacus"), "no device 'abacus' here"),
        (replace(RECIPE, folds=1), "set --folds to 2 or more"),
        (replace(_with(patience=2), holdout=0), "patience needs held-out data"),
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
        train_classifier(_sources(gtsdb), RECIPE, "first", runs, specs=specs)

    assert _statuses(runs) == ["FAILED"]
    assert not (runs / "first").exists()


def test_server_that_is_down_costs_the_record_and_not_the_run(
    gtsdb: TinyGtsdb, tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    notices: list[str] = []

    run = train_classifier(_sources(gtsdb), RECIPE, "first", tmp_path / "runs", RunReporter(notify=notices.append))

    assert (run.run_id, run.registered_version) == ("", "")
    assert load_checkpoint(run.checkpoint)[1].metrics == run.metrics
    assert "without a record" in notices[-1]


def test_folds_are_cross_validated_and_recorded(gtsdb: TinyGtsdb, runs: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    run = train_classifier(
        _sources(gtsdb),
        replace(_with(epochs=1), folds=2),
        "folded",
        runs,
        RunReporter(lambda *call: calls.append(call)),
    )

    accuracy = run.metrics["cross_validated_accuracy"]
    assert accuracy in {hits / 8 for hits in range(9)}
    assert "temperature" in run.metrics
    assert _client(runs).get_run(run.run_id).data.metrics["cross_validated_accuracy"] == pytest.approx(accuracy)
    assert load_checkpoint(run.checkpoint)[1].metrics["cross_validated_accuracy"] == accuracy
    for number in (1, 2):
        assert (f"fold {number} of 2: epochs", 1, 1) in calls


def test_folds_that_cannot_be_dealt_are_a_training_error(gtsdb: TinyGtsdb, runs: Path) -> None:
    with pytest.raises(TrainingError, match="4 tracks or images, which cannot be divided into 5 parts"):
        train_classifier(_sources(gtsdb), replace(RECIPE, folds=5), "folded", runs)
    assert _statuses(runs) == []


def test_cross_validation_answers_for_each_crop_by_a_network_that_has_not_seen_its_image(
    coloured_crops: Crops,
) -> None:
    asked: list[set[str]] = []

    class Remembers(torch.nn.Module):
        """Answers with class 1 for every image it was given, else with class 0."""

        def __init__(self, crops: Crops) -> None:
            super().__init__()
            self.dummy = torch.nn.Parameter(torch.zeros(()))
            self.seen = {image.tobytes() for image in crops.images}

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen = torch.tensor([image.numpy().tobytes() in self.seen for image in images])
            return torch.nn.functional.one_hot(seen.long(), 43).float()

    def fit(stage: str, part: Crops) -> torch.nn.Module:
        asked.append(set(part.sources))
        return Remembers(part)

    def predict(model: torch.nn.Module, part: Crops) -> torch.Tensor:
        return predict_logits(model, torch.from_numpy(part.images))

    folds = deal_folds(coloured_crops.sources, 3, seed=0)
    answers = cross_validate(fit, predict, coloured_crops, folds)

    assert torch.stack(answers).argmax(dim=1).tolist() == [0] * len(coloured_crops)
    assert len(asked) == 3 and all(len(sources) == 16 for sources in asked)


def test_curve_reports_are_json(gtsdb: TinyGtsdb, runs: Path) -> None:
    run = train_classifier(_sources(gtsdb), _with(epochs=1), "first", runs)

    (report,) = json.loads((run.folder / "plots" / "curves.json").read_text())["train"]
    assert EpochReport(**report).epoch == 1


def test_only_photographs_are_held_out_where_there_are_any(gtsdb: TinyGtsdb) -> None:
    mixed = gather_crops([Drawings(86), load_gtsdb(gtsdb.folder)], 48, 0, False, silent)
    drawn = gather_crops([Drawings(86)], 48, 0, False, silent)

    held, _ = hold_out(mixed, 0.5, seed=0)

    assert len(held) and not mixed.is_drawn[held].any()
    assert len(hold_out(drawn, 0.5, seed=0)[0]) == 43
    assert len(hold_out(mixed, 0, seed=0)[0]) == 0
