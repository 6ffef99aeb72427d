"""A training run from data to registered checkpoint, and cross-validation of the same recipe."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.checkpoint import CheckpointInfo, build_model, save_checkpoint
from training.data.classes import CLASS_NAMES
from training.data.crops import Crops, cut_crops
from training.data.records import Dataset
from training.errors import TrainingError
from training.evaluate import Evaluation, evaluate, fold_indices, save_confusion_matrix
from training.models.classifier import predict_probabilities
from training.plots import draw_curves
from training.progress import ProgressCallback, silent
from training.tracking import git_commit, log_files, log_metrics, register_checkpoint, tracked_run
from training.train import EpochReport, TrainingConfig, pick_device, seed_everything, train

INPUT_SIZE = 48  # pixels; GTSDB's signs have a median of 38
MODEL_NAME = "sign_classifier"


@dataclass(frozen=True)
class ClassifierRun:
    """What a finished training run left behind.

    Attributes:
        folder: the run's folder, with `checkpoint/` and `plots/` in it.
        run_id: of MLflow.
        registered_version: in MLflow's model registry.
        model: the trained network, on the CPU, in evaluation mode.
        train_crops: what it learned from.
        test_crops: what it is judged on.
        probabilities: float32 [n, classes] for the test crops.
        evaluation: of these.
        metrics: all scalar figures by name, as recorded in MLflow and in the checkpoint.
    """

    folder: Path
    run_id: str
    registered_version: str
    model: nn.Module
    train_crops: Crops
    test_crops: Crops
    probabilities: npt.NDArray[np.float32]
    evaluation: Evaluation
    metrics: dict[str, float]

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint."""
        return self.folder / "checkpoint"


def check_name(name: str, runs: Path) -> None:
    """Raises TrainingError where `name` cannot name a new run in the folder `runs`."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise TrainingError(f"{name!r} cannot name a run: use letters, digits, '.', '-' and '_'")
    if (runs / name / "checkpoint").exists():
        raise TrainingError(f"there is a run {name!r} in {runs} already: choose another --name")


def run_training(
    dataset: Dataset,
    config: TrainingConfig,
    name: str,
    runs: Path,
    folds: int = 0,
    progress: ProgressCallback = silent,
) -> ClassifierRun:
    """Trains a classifier on the training split, judges it on the test split and records everything.

    Args:
        dataset: with labelled signs in both splits.
        config: the recipe.
        name: of the run; `runs/<name>` must not hold a checkpoint yet.
        runs: folder of all runs and of MLflow's database.
        folds: with 2 or more, cross-validate over the training split first.
        progress: told how far each stage is.

    Raises:
        TrainingError: the name is taken or unfit, the data cannot be used, or training diverged.
    """
    check_name(name, runs)
    pick_device(config.device)  # a wrong one is better told before the data is read
    folder = runs / name
    train_crops = cut_crops(dataset, "train", INPUT_SIZE, lambda *n: progress("reading training scenes", *n))
    test_crops = cut_crops(dataset, "test", INPUT_SIZE, lambda *n: progress("reading test scenes", *n))
    parameters = {**asdict(config), "data": dataset.name, "data_fingerprint": train_crops.fingerprint}
    with tracked_run(name, runs, parameters) as run_id:
        metrics: dict[str, float] = {}
        if folds:
            metrics["cross_validated_accuracy"] = cross_validate(train_crops, config, folds, progress)
            log_metrics(metrics)
        info = CheckpointInfo(
            architecture=MODEL_NAME,
            arguments={},
            class_names=list(CLASS_NAMES),
            input_size=INPUT_SIZE,
            data={"name": dataset.name, "fingerprint": train_crops.fingerprint},
            run_id=run_id,
            git_commit=git_commit(),
        )
        model, curve = _fit(info, train_crops, config, progress)
        probabilities = predict_probabilities(model, torch.from_numpy(test_crops.images)).numpy()
        evaluation = evaluate(probabilities, test_crops.class_ids)
        metrics |= {f"test_{key}": value for key, value in evaluation.metrics().items()}
        log_metrics(metrics)
        save_checkpoint(folder / "checkpoint", model, replace(info, metrics=metrics))
        _draw(folder / "plots", curve, evaluation)
        log_files(folder / "plots", "plots")
        log_files(folder / "checkpoint", "checkpoint")
        version = register_checkpoint(MODEL_NAME, run_id, metrics)
    return ClassifierRun(folder, run_id, version, model, train_crops, test_crops, probabilities, evaluation, metrics)


def cross_validate(crops: Crops, config: TrainingConfig, folds: int, progress: ProgressCallback) -> float:
    """Trains on all folds but one and judges on that one, for each fold.

    Returns:
        Accuracy over all crops, each judged by the model that has not seen its image.

    Raises:
        TrainingError: there are fewer images than folds.
    """
    try:
        held_out = fold_indices(crops, folds, config.seed)
    except ValueError as error:
        raise TrainingError(f"cannot cross-validate: {error}") from error
    hits = 0
    info = CheckpointInfo(MODEL_NAME, {}, list(CLASS_NAMES), INPUT_SIZE, {})
    for number, held in enumerate(held_out, start=1):
        kept = np.setdiff1d(np.arange(len(crops)), held)

        def named(what: str, done: int, total: int, number: int = number) -> None:
            progress(f"fold {number} of {folds}: {what}", done, total)

        model, _ = _fit(info, crops.select(kept), config, named, record=False)
        probabilities = predict_probabilities(model, torch.from_numpy(crops.images[held])).numpy()
        hits += int((probabilities.argmax(axis=1) == crops.class_ids[held]).sum())
    return hits / len(crops)


def _fit(
    info: CheckpointInfo,
    crops: Crops,
    config: TrainingConfig,
    progress: ProgressCallback,
    record: bool = True,
) -> tuple[nn.Module, list[EpochReport]]:
    curve: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> None:
        curve.append(report)
        progress("training epochs", report.epoch, config.epochs)
        if record:
            figures = {
                "loss": report.loss,
                "accuracy": report.accuracy,
                "learning_rate": report.learning_rate,
            }
            log_metrics({f"train_{key}": value for key, value in figures.items()}, step=report.epoch)

    progress("training epochs", 0, config.epochs)
    seed_everything(config.seed)
    return train(build_model(info), crops, config, on_epoch), curve


def _draw(plots: Path, curve: Sequence[EpochReport], evaluation: Evaluation) -> None:
    draw_curves([report.loss for report in curve], [report.accuracy for report in curve], plots / "curves.png")
    save_confusion_matrix(evaluation, plots / "confusion_matrix.png")
    (plots / "curves.json").write_text(json.dumps([asdict(report) for report in curve], indent=2) + "\n")
