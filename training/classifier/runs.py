"""A training run from data to registered checkpoint: cross-validation, hold-out, calibration, the final fit.

A share of the tracks (or images) is held out for validation. Its logits give the calibration temperature and the score
below which a crop is answered as unknown. A refit trains the network once more on everything with the same recipe, and
keeps both values. The test images are used once, at the end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from traffic_signs.commit import git_commit
from training.checkpoint import CheckpointInfo, build_model
from training.classifier.calibration import fit_temperature, fit_unknown_threshold
from training.classifier.evaluate import Evaluation, evaluate
from training.classifier.folds import fold_indices, holdout_indices
from training.classifier.report import write_evaluation
from training.classifier.task import Classification
from training.data.classes import common_classes
from training.data.crops import Crops
from training.data.dataset_mix import Drawings, TrainingData, gather_crops, open_sources
from training.data.records import Dataset
from training.device import World
from training.errors import TrainingError
from training.models.classifier import MODEL_NAME, SignClassifier, predict_logits, predict_probabilities
from training.recipe import Recipe, TrainingConfig
from training.runs import FinishedRun, Run, RunReporter
from training.train import Trained

INPUT_SIZE = 48  # pixels; GTSDB's signs have a median of 38
SCORE = "accuracy"


@dataclass(frozen=True)
class ClassifierRun(FinishedRun):
    """A finished training run of the classifier.

    Attributes:
        data: the training and test crops.
        probabilities: float32 [n, classes] for the test crops of each data set, by its kind.
        evaluations: their evaluations, by the same keys.
    """

    data: TrainingData
    probabilities: dict[str, npt.NDArray[np.float32]]
    evaluations: dict[str, Evaluation]


def train_classifier(
    sources: Sequence[Dataset | Drawings],
    recipe: Recipe,
    name: str,
    runs: Path,
    reporter: RunReporter | None = None,
    specs: Sequence[str] = (),
    world: World | None = None,
) -> ClassifierRun:
    """Trains a classifier on the training splits, evaluates it on each test split and records the run.

    Args:
        sources: the data sets.
        recipe: settings of the run.
        name: name of the run; `runs/<name>` must not exist.
        runs: folder of all runs and of MLflow's database.
        reporter: receives progress and notices.
        specs: the sources as given on the command line; needed to resume the run.
        world: the processes that train together.

    Raises:
        TrainingError: the name is taken or invalid, the data cannot be used, or training diverged.
    """
    run = Run.begun(MODEL_NAME, SCORE, recipe, name, runs, reporter, specs, world)
    return _carry_out(run, sources)


def resume_classifier(
    name: str, runs: Path, reporter: RunReporter | None = None, world: World | None = None
) -> ClassifierRun:
    """Resumes an interrupted run; the result is the same as without the interruption.

    Raises:
        TrainingError: there is no such run, or a reason of `train_classifier`.
    """
    run = Run.resumed(MODEL_NAME, SCORE, runs / name, reporter, world)
    return _carry_out(run, open_sources(run.specs))


def hold_out(data: TrainingData, share: float, seed: int) -> npt.NDArray[np.int64]:
    """Returns the indices of the training crops to hold out: photographs, or drawings if there are no photographs.

    Accuracy and temperature on drawings do not apply to photographs.
    """
    if not share:
        return np.empty(0, np.int64)
    candidates = np.flatnonzero(~data.is_drawn)
    if not len(candidates):
        candidates = np.arange(len(data.train))
    return candidates[holdout_indices(data.train.select(candidates), share, seed)]


def cross_validate(fit: Callable[[str, Crops], nn.Module], crops: Crops, folds: int, seed: int) -> Tensor:
    """Cross-validates: for each fold, trains on the other folds and predicts this one.

    Args:
        fit: trains a network; called with the name of the stage and its crops.
        crops: the training crops.
        folds: number of folds.
        seed: seed of the split.

    Returns:
        float32 [n, classes], the logits of each crop by the network that has not seen its track or image.

    Raises:
        TrainingError: there are fewer tracks or images than folds.
    """
    try:
        held_out = fold_indices(crops, folds, seed)
    except ValueError as error:
        raise TrainingError(f"cannot cross-validate: {error}") from error
    logits = torch.empty(0)
    for number, held in enumerate(held_out, start=1):
        kept = np.setdiff1d(np.arange(len(crops)), held)
        model = fit(f"fold {number} of {folds}", crops.select(kept))
        answers = predict_logits(model, torch.from_numpy(crops.images[held]))
        logits = logits if len(logits) else torch.empty(len(crops), answers.shape[1])
        logits[held] = answers
    return logits


def _carry_out(run: Run, sources: Sequence[Dataset | Drawings]) -> ClassifierRun:
    """Reads the data, trains, evaluates and records."""
    recipe, reporter = run.recipe, run.reporter
    names = list(common_classes(sources).names)
    info = CheckpointInfo(MODEL_NAME, recipe.architecture, {}, names, [INPUT_SIZE, INPUT_SIZE], {})
    build_model(info)  # fails before the data is read if the architecture cannot be built
    data = gather_crops(sources, INPUT_SIZE, recipe.config.seed, recipe.keep_leaked, reporter.progress)
    for notice in data.notices:
        reporter.notify(notice)
    if not data.tests:
        reporter.notify("the data has no test signs: evaluate the checkpoint with `signs evaluate`")
    recipe = replace(recipe, config=recipe.config.suited_to(len(data.train)))
    with run.recorded(recipe, data.facts()) as run_id:
        info = replace(info, data=data.facts(), run_id=run_id, git_commit=git_commit())
        model, metrics = _fit_all(run, recipe, info, data)
        return _evaluate_and_finish(run, model, data, info, metrics)


def _evaluate_and_finish(
    run: Run, model: SignClassifier, data: TrainingData, info: CheckpointInfo, metrics: dict[str, float]
) -> ClassifierRun:
    """Evaluates the network on every test split, and writes the results and the checkpoint."""
    probabilities = {
        kind: predict_probabilities(model, torch.from_numpy(crops.images)).numpy() for kind, crops in data.tests.items()
    }
    names = data.classes.names
    evaluations = {kind: evaluate(probabilities[kind], crops.class_ids, names) for kind, crops in data.tests.items()}
    for kind, evaluation in evaluations.items():
        metrics |= {f"{kind}_test_{key}": value for key, value in evaluation.metrics().items()}

    def write_plots(plots: Path) -> None:
        for kind, evaluation in evaluations.items():
            write_evaluation(plots / f"{kind}_test", evaluation, data.tests[kind], probabilities[kind])

    version = run.finish(model, replace(info, metrics=metrics), metrics, write_plots)
    examples = len(data.train)
    return ClassifierRun(run.folder, info.run_id, version, model, metrics, examples, data, probabilities, evaluations)


def _fit_all(
    run: Run, recipe: Recipe, info: CheckpointInfo, data: TrainingData
) -> tuple[SignClassifier, dict[str, float]]:
    """Returns the calibrated network, and the figures of cross-validation and hold-out."""
    crops, config = data.train, recipe.config
    metrics: dict[str, float] = {}
    unseen: tuple[Tensor, npt.NDArray[np.int64]] | None = None  # logits and labels of crops not learned from

    def fit(stage: str, part: Crops, config: TrainingConfig, validation: Crops | None = None) -> Trained:
        return run.fit(stage, lambda: build_model(info), Classification(part, validation), config)

    if recipe.folds:
        fold_config = replace(config, patience=0)
        logits = cross_validate(
            lambda stage, part: fit(stage, part, fold_config).model, crops, recipe.folds, config.seed
        )
        metrics["cross_validated_accuracy"] = _accuracy(logits, crops.class_ids)
        unseen = logits, crops.class_ids
    held = hold_out(data, recipe.holdout, config.seed)
    if recipe.holdout and not len(held):
        _warn_without_holdout(run, recipe)
    trained: Trained | None = None
    if len(held):
        validation = crops.select(held)
        kept = crops.select(np.setdiff1d(np.arange(len(crops)), held))
        trained = fit("train", kept, config, validation)
        logits = predict_logits(trained.model, torch.from_numpy(validation.images))
        metrics["validation_accuracy"] = _accuracy(logits, validation.class_ids)
        unseen = unseen or (logits, validation.class_ids)
        config = replace(config, patience=0, epochs=trained.epoch)
    if trained is None or recipe.refit:
        trained = fit("refit" if trained else "train", crops, config)
    model = trained.model
    assert isinstance(model, SignClassifier)
    if unseen is not None:
        metrics["temperature"] = fit_temperature(unseen[0].numpy(), unseen[1])
        model.temperature.fill_(metrics["temperature"])
        calibrated = (unseen[0] / metrics["temperature"]).softmax(dim=1).numpy()
        metrics["unknown_threshold"] = fit_unknown_threshold(calibrated)
    return model, metrics


def _warn_without_holdout(run: Run, recipe: Recipe) -> None:
    """Reports that the classes are too small for the requested hold-out.

    Raises:
        TrainingError: the run has patience, which needs a hold-out.
    """
    wanted = f"no class has the {math.ceil(1 / recipe.holdout)} tracks or images to hold one of them out"
    if recipe.config.patience:
        raise TrainingError(f"{wanted}, and patience needs held-out data: raise --holdout, or give more data")
    lacks = "validated" if recipe.folds else "validated and its scores are not calibrated"
    run.reporter.notify(f"{wanted}: the training is not {lacks}; raise --holdout, or give more data")


def _accuracy(logits: Tensor, class_ids: npt.NDArray[np.int64]) -> float:
    return float((logits.argmax(dim=1).numpy() == class_ids).mean())
