"""Tests of what a classifier run holds out, and of cross-validation."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.classifier.short_runs import RECIPE, client_of, sources, statuses, with_config
from tests.training.tiny_gtsdb import TinyGtsdb
from traffic_signs.classes import ClassSet
from traffic_signs.progress import silent
from training.checkpoint import load_checkpoint
from training.classifier.runs import hold_out, train_classifier
from training.data.crops import Crops
from training.data.dataset_mix import CropData, gather_crops
from training.data.gtsdb import load_gtsdb
from training.data.records import Drawings
from training.errors import TrainingError
from training.folds import MIN_SOURCES_FOR_HOLDOUT, deal_folds
from training.models.classifier import SignClassifier, predict_logits
from training.runs import RunReporter
from training.trainer import cross_validate


def test_hold_out_is_watched_calibrates_and_is_learned_from_at_last(gtsdb: TinyGtsdb, runs: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    recipe = replace(with_config(epochs=1), holdout=0.5, refit=True)

    run = train_classifier(sources(gtsdb), recipe, "first", runs, RunReporter(lambda *call: calls.append(call)))

    assert {"validation_accuracy", "temperature", "unknown_threshold"} <= run.metrics.keys()
    assert isinstance(run.model, SignClassifier)
    assert float(run.model.temperature) == pytest.approx(run.metrics["temperature"])
    assert ("refit: epochs", 1, 1) in calls
    curves = json.loads((run.folder / "plots" / "curves.json").read_text())
    assert curves["train"][0]["validation_loss"] > 0
    assert curves["refit"][0]["validation_loss"] is None
    # A final figure is no point of a curve, which would hide it where patience keeps an earlier epoch.
    client = client_of(runs)
    assert {"held_out_loss", "held_out_accuracy"} <= client.get_run(run.run_id).data.metrics.keys()
    assert all(len(client.get_metric_history(run.run_id, figure)) == 1 for figure in run.metrics)


def test_without_a_refit_the_watched_network_is_kept(gtsdb: TinyGtsdb, runs: Path) -> None:
    recipe = replace(with_config(epochs=1), holdout=0.5, refit=False)

    run = train_classifier(sources(gtsdb), recipe, "first", runs)

    assert json.loads((run.folder / "plots" / "curves.json").read_text()).keys() == {"train"}
    assert "temperature" in run.metrics


def test_hold_out_that_no_class_can_spare_is_left_out(gtsdb: TinyGtsdb, runs: Path) -> None:
    notices: list[str] = []
    recipe = replace(with_config(epochs=1), holdout=0.1)

    run = train_classifier(sources(gtsdb), recipe, "first", runs, RunReporter(notify=notices.append))

    assert "temperature" not in run.metrics
    (notice,) = [each for each in notices if "raise --holdout" in each]
    assert "have fewer than the 10 tracks or images" in notice and "not calibrated" in notice
    with pytest.raises(TrainingError, match=r"fewer than the 10 .*raise --holdout, or leave out --patience"):
        train_classifier(sources(gtsdb), replace(with_config(epochs=1, patience=2), holdout=0.1), "second", runs)


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


def test_folds_are_cross_validated_and_recorded(gtsdb: TinyGtsdb, runs: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    run = train_classifier(
        sources(gtsdb),
        replace(with_config(epochs=1), folds=2),
        "folded",
        runs,
        RunReporter(lambda *call: calls.append(call)),
    )

    accuracy = run.metrics["cross_validated_accuracy"]
    assert accuracy in {hits / 8 for hits in range(9)}
    assert "temperature" in run.metrics
    assert client_of(runs).get_run(run.run_id).data.metrics["cross_validated_accuracy"] == pytest.approx(accuracy)
    assert load_checkpoint(run.checkpoint)[1].metrics["cross_validated_accuracy"] == accuracy
    for number in (1, 2):
        assert (f"fold {number} of 2: epochs", 1, 1) in calls


def test_folds_that_cannot_be_dealt_are_a_training_error(gtsdb: TinyGtsdb, runs: Path) -> None:
    with pytest.raises(TrainingError, match="4 tracks or images, which cannot be divided into 5 parts"):
        train_classifier(sources(gtsdb), replace(RECIPE, folds=5), "folded", runs)
    assert statuses(runs) == []


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


def test_only_photographs_are_held_out_where_there_are_any(gtsdb: TinyGtsdb) -> None:
    mixed = gather_crops([Drawings(86), load_gtsdb(gtsdb.folder)], 48, 0, False, silent)
    drawn = gather_crops([Drawings(86)], 48, 0, False, silent)

    held, _ = hold_out(mixed, 0.5, seed=0)

    assert len(held) and not mixed.is_drawn[held].any()
    assert len(hold_out(drawn, 0.5, seed=0)[0]) == 43
    assert len(hold_out(mixed, 0, seed=0)[0]) == 0


def test_photographs_alone_are_cross_validated_where_there_are_any(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated_on: list[int] = []

    def fit(logits: object, class_ids: Sequence[int]) -> float:
        calibrated_on.append(len(class_ids))
        return 1.0

    monkeypatch.setattr("training.classifier.runs.fit_temperature", fit)
    recipe = replace(with_config(epochs=1), folds=2)

    train_classifier([Drawings(86), *sources(gtsdb)], recipe, "folded", runs)

    assert calibrated_on == [8]
