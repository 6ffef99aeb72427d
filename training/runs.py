"""A training run from data to registered checkpoint: cross-validation, hold-out, calibration, the final fit.

The protocol: a share of the tracks (of scenes: of the images) is held out and watched; its logits give the
temperature that makes the scores believable; then the network is trained once more on everything by the same recipe,
and takes that temperature over. Test images are looked at once, at the end.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.calibration import fit_temperature
from training.checkpoint import CheckpointInfo, build_model, save_checkpoint
from training.data.classes import CLASS_NAMES
from training.data.crops import Crops
from training.data.gather import Drawings, TrainingData, gather_crops, open_sources
from training.data.records import Dataset
from training.device import World, pick_device, pick_precision
from training.errors import CheckpointError, TrainingError
from training.evaluate import Evaluation, evaluate
from training.folds import fold_indices, holdout_indices
from training.interrupted import (
    check_name,
    forget_interrupted,
    load_interrupted,
    save_interrupted,
    state_file,
)
from training.models.classifier import MODEL_NAME, SignClassifier, predict_logits, predict_probabilities
from training.plots import draw_curves
from training.progress import ProgressCallback, silent
from training.recipe import Recipe, TrainingConfig
from training.report import write_evaluation
from training.tracking import Tracker, git_commit, tracked_run
from training.train import EpochReport, Trained, seed_everything, train

INPUT_SIZE = 48  # pixels; GTSDB's signs have a median of 38


@dataclass(frozen=True)
class ClassifierRun:
    """What a finished training run left behind.

    Attributes:
        folder: the run's folder, with `checkpoint/` and `plots/` in it.
        run_id: of MLflow; empty where the run could not be recorded.
        registered_version: in MLflow's model registry; empty likewise.
        model: the trained network, on the CPU, in evaluation mode.
        data: what it learned from and is judged on.
        probabilities: float32 [n, classes] for the test crops of each data set.
        evaluations: of these.
        metrics: all scalar figures by name, as recorded in MLflow and in the checkpoint.
    """

    folder: Path
    run_id: str
    registered_version: str
    model: nn.Module
    data: TrainingData
    probabilities: dict[str, npt.NDArray[np.float32]]
    evaluations: dict[str, Evaluation]
    metrics: dict[str, float]

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint."""
        return self.folder / "checkpoint"


@dataclass(frozen=True)
class Listener:
    """Who is told how a run goes.

    Attributes:
        progress: of how far each stage is.
        tell: of what a person should know, a sentence at a time.
    """

    progress: ProgressCallback = silent
    tell: Callable[[str], None] = lambda notice: None


def run_training(
    sources: Sequence[Dataset | Drawings],
    recipe: Recipe,
    name: str,
    runs: Path,
    listener: Listener | None = None,
    specs: Sequence[str] = (),
    world: World | None = None,
) -> ClassifierRun:
    """Trains a classifier on the training splits, judges it on each test split and records everything.

    Args:
        sources: the data sets.
        recipe: how.
        name: of the run; `runs/<name>` must not hold a run yet.
        runs: folder of all runs and of MLflow's database.
        listener: told of progress and notices.
        specs: the sources as the command line gives them: with them the run can be resumed after a kill.
        world: the processes that train together.

    Raises:
        TrainingError: the name is taken or unfit, the data cannot be used, or training diverged.
    """
    check_name(name, runs)
    run = _Run(recipe, runs / name, listener or Listener(), tuple(specs), world or World())
    return run.carry_out(sources)


def resume_training(
    name: str, runs: Path, listener: Listener | None = None, world: World | None = None
) -> ClassifierRun:
    """Goes on with a run that was killed, to the result it would have had.

    Raises:
        TrainingError: there is no such run, or as `run_training`.
    """
    found = load_interrupted(runs / name)
    run = _Run(found.recipe, runs / name, listener or Listener(), found.specs, world or World(), found.run_id)
    return run.carry_out(open_sources(found.specs))


def cross_validate(fit: Callable[[str, Crops], nn.Module], crops: Crops, folds: int, seed: int) -> Tensor:
    """Trains on all folds but one and answers for that one, for each fold.

    Args:
        fit: trains a network; called with the stage's name and its crops.
        crops: to deal.
        folds: how many.
        seed: of the deal.

    Returns:
        float32 [n, classes], the logits of each crop by the network that has not seen its track or image.

    Raises:
        TrainingError: there are fewer tracks or images than folds.
    """
    try:
        held_out = fold_indices(crops, folds, seed)
    except ValueError as error:
        raise TrainingError(f"cannot cross-validate: {error}") from error
    logits = torch.empty(len(crops), len(CLASS_NAMES))
    for number, held in enumerate(held_out, start=1):
        kept = np.setdiff1d(np.arange(len(crops)), held)
        model = fit(f"fold {number} of {folds}", crops.select(kept))
        logits[held] = predict_logits(model, torch.from_numpy(crops.images[held]))
    return logits


@dataclass
class _Run:
    recipe: Recipe
    folder: Path
    listener: Listener
    specs: tuple[str, ...]
    world: World
    run_id: str = ""

    def carry_out(self, sources: Sequence[Dataset | Drawings]) -> ClassifierRun:
        """Reads the data, trains, judges and records."""
        recipe, seed = self.recipe, self.recipe.config.seed
        device = pick_device(recipe.config.device)  # a wrong setting is better told before the data is read
        pick_precision(recipe.config.precision, device)
        info = CheckpointInfo(recipe.architecture, {}, list(CLASS_NAMES), INPUT_SIZE, {})
        build_model(info)
        data = gather_crops(sources, INPUT_SIZE, seed, recipe.keep_leaked, self.listener.progress)
        for notice in data.notices:
            self.listener.tell(notice)
        if not data.tests:
            self.listener.tell("the data has no test signs: judge the checkpoint with `signs evaluate`")
        recipe = replace(recipe, config=recipe.config.suited_to(len(data.train)))
        parameters = {**asdict(recipe.config), **asdict(recipe), **data.facts()}
        del parameters["config"]
        with self._tracked(parameters) as tracker:
            info = replace(info, data=data.facts(), run_id=tracker.run_id, git_commit=git_commit())
            if self.specs and self.world.is_main:
                save_interrupted(self.folder, self.specs, self.recipe, tracker.run_id)
            try:
                resumable = self.folder if self.specs else None
                stages = _Stages(info, recipe, resumable, self.listener.progress, tracker, self.world)
                model, metrics = stages.fit_all(data.train)
            except CheckpointError:
                raise  # such as a full disk: what is there can be gone on with
            except TrainingError:
                forget_interrupted(self.folder)
                raise
            return self._judge(model, data, info, metrics, stages.curves, tracker)

    def _judge(
        self,
        model: SignClassifier,
        data: TrainingData,
        info: CheckpointInfo,
        metrics: dict[str, float],
        curves: dict[str, tuple[EpochReport, ...]],
        tracker: Tracker,
    ) -> ClassifierRun:
        """Evaluates the network on every test split and writes down all that is to stay."""
        probabilities = {
            kind: predict_probabilities(model, torch.from_numpy(crops.images)).numpy()
            for kind, crops in data.tests.items()
        }
        evaluations = {kind: evaluate(probabilities[kind], crops.class_ids) for kind, crops in data.tests.items()}
        for kind, evaluation in evaluations.items():
            metrics |= {f"{kind}_test_{key}": value for key, value in evaluation.metrics().items()}
        version = ""
        if self.world.is_main:
            tracker.log_metrics(metrics)
            plots = self.folder / "plots"
            _write_curves(plots, curves)
            for kind, evaluation in evaluations.items():
                write_evaluation(plots / f"{kind}_test", evaluation, data.tests[kind], probabilities[kind])
            save_checkpoint(self.folder / "checkpoint", model, replace(info, metrics=metrics))
            tracker.log_files(plots)
            tracker.log_files(self.folder / "checkpoint")
            version = tracker.register_checkpoint(MODEL_NAME, metrics)
            forget_interrupted(self.folder)
        return ClassifierRun(self.folder, tracker.run_id, version, model, data, probabilities, evaluations, metrics)

    def _tracked(self, parameters: dict[str, object]) -> AbstractContextManager[Tracker]:
        if not self.world.is_main:
            return nullcontext(Tracker(self.listener.tell))
        return tracked_run(self.folder.name, self.folder.parent, parameters, self.listener.tell, self.run_id)


@dataclass
class _Stages:
    """The trainings of one run: each goes on where an earlier process left it."""

    info: CheckpointInfo
    recipe: Recipe
    folder: Path | None
    progress: ProgressCallback
    tracker: Tracker
    world: World
    curves: dict[str, tuple[EpochReport, ...]] = field(default_factory=dict)

    def fit_all(self, crops: Crops) -> tuple[SignClassifier, dict[str, float]]:
        """Returns the calibrated network, and what cross-validation and hold-out have measured."""
        recipe, config = self.recipe, self.recipe.config
        metrics: dict[str, float] = {}
        unseen: tuple[Tensor, npt.NDArray[np.int64]] | None = None  # logits and labels nobody has learned from
        if recipe.folds:
            fold_config = replace(config, patience=0)
            logits = cross_validate(
                lambda stage, part: self.fit(stage, part, fold_config).model, crops, recipe.folds, config.seed
            )
            metrics["cross_validated_accuracy"] = _accuracy(logits, crops.class_ids)
            unseen = logits, crops.class_ids
        held = holdout_indices(crops, recipe.holdout, config.seed) if recipe.holdout else np.empty(0, np.int64)
        trained: Trained | None = None
        if len(held):
            validation = crops.select(held)
            kept = crops.select(np.setdiff1d(np.arange(len(crops)), held))
            trained = self.fit("train", kept, config, validation)
            logits = predict_logits(trained.model, torch.from_numpy(validation.images))
            metrics["validation_accuracy"] = _accuracy(logits, validation.class_ids)
            unseen = unseen or (logits, validation.class_ids)
            config = replace(config, patience=0, epochs=trained.epoch)
        if trained is None or recipe.refit:
            trained = self.fit("refit" if trained else "train", crops, config)
        model = trained.model
        assert isinstance(model, SignClassifier)
        if unseen is not None:
            metrics["temperature"] = fit_temperature(unseen[0].numpy(), unseen[1])
            model.temperature.fill_(metrics["temperature"])
        return model, metrics

    def fit(self, stage: str, crops: Crops, config: TrainingConfig, validation: Crops | None = None) -> Trained:
        """Trains one network from the seed on."""

        def on_epoch(report: EpochReport) -> None:
            self.progress(f"{stage}: epochs", report.epoch, config.epochs)
            if stage in ("train", "refit"):
                self.tracker.log_metrics(_figures(stage, report), step=report.epoch)

        self.progress(f"{stage}: epochs", 0, config.epochs)
        seed_everything(config.seed)
        state = state_file(self.folder, stage) if self.folder else None
        trained = train(build_model(self.info), crops, config, validation, state, on_epoch, self.world)
        self.curves[stage] = trained.curve
        return trained


def _figures(stage: str, report: EpochReport) -> dict[str, float]:
    figures = {
        "loss": report.loss,
        "accuracy": report.accuracy,
        "learning_rate": report.learning_rate,
        "images_per_second": report.images_per_second,
    }
    named = {f"{stage}_{key}": value for key, value in figures.items()}
    if report.validation_loss is not None and report.validation_accuracy is not None:
        named |= {"validation_loss": report.validation_loss, "validation_accuracy": report.validation_accuracy}
    return named


def _accuracy(logits: Tensor, class_ids: npt.NDArray[np.int64]) -> float:
    return float((logits.argmax(dim=1).numpy() == class_ids).mean())


def _write_curves(plots: Path, curves: dict[str, tuple[EpochReport, ...]]) -> None:
    curve = curves["train"]
    validation = [
        (report.validation_loss, report.validation_accuracy)
        for report in curve
        if report.validation_loss is not None and report.validation_accuracy is not None
    ]
    losses, accuracies = [report.loss for report in curve], [report.accuracy for report in curve]
    draw_curves(losses, accuracies, plots / "curves.png", validation)
    content = {stage: [asdict(report) for report in reports] for stage, reports in curves.items()}
    (plots / "curves.json").write_text(json.dumps(content, indent=2) + "\n")
