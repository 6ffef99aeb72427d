"""Training runs of any network: recording, resuming and writing the checkpoint."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from traffic_signs.progress import ProgressCallback, silent
from training.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from training.device import World, pick_device, pick_workers
from training.errors import CheckpointError, TrainingError
from training.plots import draw_curves
from training.recipe import Recipe, TrainingConfig
from training.resume import CHECKPOINT, forget_interrupted, save_interrupted, state_file
from training.tracking import Tracker, tracked_run
from training.train import EpochReport, Task, Trained, seed_everything, train


@dataclass(frozen=True)
class RunReporter:
    """Receives the progress of each stage, and the notices to the user, a sentence each."""

    progress: ProgressCallback = silent
    notify: Callable[[str], None] = lambda notice: None


@dataclass(frozen=True)
class FinishedRun:
    """The results of a finished training run."""

    folder: Path  # of the run, with `checkpoint/` and `plots/` in it
    run_id: str  # id of the MLflow run; empty if the run could not be recorded
    registered_version: str  # number in MLflow's model registry; empty if the run could not be recorded
    model: nn.Module  # the trained network, on the CPU, in evaluation mode
    metrics: dict[str, float]  # all scalar figures by name, as in MLflow and in the checkpoint
    examples: int | None  # number of training crops or scenes; None if an earlier process has trained
    data: Any = None  # the `TrainingData` of the run; None if an earlier process has trained
    # What the network says of the test examples of each data set, by its kind: logits, float32 [n, classes], or
    # `Detections`. Empty if an earlier process has trained.
    answers: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Mapping[str, Any] = field(default_factory=dict)  # of the answers, by the same keys

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint."""
        return self.folder / CHECKPOINT


@dataclass
class Run:
    """A run in progress."""

    model: str  # name in the registry and on the server
    score: str  # name of the task's score in MLflow
    recipe: Recipe
    folder: Path
    reporter: RunReporter
    specs: tuple[str, ...]  # the data sets as given on the command line; needed to resume the run
    world: World  # the processes that train together
    run_id: str = ""  # id of the MLflow run that an earlier process has started; empty for a new run
    curves: dict[str, tuple[EpochReport, ...]] = field(default_factory=dict)  # the epoch reports of each finished stage
    tracker: Tracker = field(init=False)

    def __post_init__(self) -> None:
        # Fails before the data is read.
        pick_device(self.recipe.config.device)
        if self.recipe.folds == 1:
            raise TrainingError("cross-validation needs at least two folds: set --folds to 2 or more, or to 0")
        if self.recipe.config.patience and not self.recipe.holdout:
            raise TrainingError("patience needs held-out data: set --holdout")

    @contextmanager
    def recorded(self, recipe: Recipe, facts: Mapping[str, object]) -> Iterator[str]:
        """Opens the MLflow run and yields its id; empty if it cannot be recorded.

        An error of the training itself ends the run; after any other error it can be resumed. The `recipe` has all
        automatic settings resolved.
        """
        parameters = {**asdict(recipe.config), **asdict(recipe), **facts, **_computed_with(recipe.config)}
        del parameters["config"]
        with self._tracked(parameters) as self.tracker:
            if self.specs and self.world.is_main:
                # Resolved, so that other hardware resumes it with the same batches and precision.
                save_interrupted(self.folder, self.model, self.specs, recipe, self.tracker.run_id)
            try:
                yield self.tracker.run_id
            except CheckpointError:
                raise  # such as a full disk: the run can be resumed
            except TrainingError:
                forget_interrupted(self.folder)
                raise

    def fit(self, stage: str, build: Callable[[], nn.Module], task: Task, config: TrainingConfig) -> Trained:
        """Trains one network, or resumes the training of an earlier process."""
        config = config.suited_to(task.examples)

        def on_epoch(report: EpochReport) -> None:
            self.reporter.progress(f"{stage}: epochs", report.epoch, config.epochs)
            if stage in ("train", "refit"):
                self.tracker.log_metrics(self._figures(stage, report), step=report.epoch)

        self.reporter.progress(f"{stage}: epochs", 0, config.epochs)
        seed_everything(config.seed)
        state = state_file(self.folder, stage) if self.specs else None
        trained = train(build(), task, config, state, on_epoch, self.world)
        self.curves[stage] = trained.curve
        return trained

    def finish(
        self,
        model: nn.Module,
        info: CheckpointInfo,
        metrics: Mapping[str, float],
        write_plots: Callable[[Path], None],
        error: str = "error, %",
    ) -> str:
        """Writes the checkpoint and the plots, and registers the version.

        `write_plots` is called with the folder for the plots. Returns the registry's version number; empty if the run
        is not recorded.
        """
        if not self.world.is_main:
            return ""
        plots = self.folder / "plots"
        plots.mkdir(parents=True, exist_ok=True)
        curves = {stage: [asdict(report) for report in reports] for stage, reports in self.curves.items()}
        (plots / "curves.json").write_text(json.dumps(curves, indent=2) + "\n")
        # Before the plots, so that an error in one of them does not cost the training.
        save_checkpoint(self.folder / CHECKPOINT, model, info)
        draw_curves(self.curves["train"], plots / "curves.png", error)
        write_plots(plots)
        return self._register(self.tracker, metrics)

    def _register(self, tracker: Tracker, metrics: Mapping[str, float]) -> str:
        tracker.log_metrics(metrics)
        tracker.log_files(self.folder / "plots")
        tracker.log_files(self.folder / CHECKPOINT)
        version = tracker.register_checkpoint(self.model, metrics)
        forget_interrupted(self.folder)
        return version

    def register_late(self) -> FinishedRun:
        """Records and registers a run that was interrupted between its checkpoint and its registration.

        Raises CheckpointError if the checkpoint is damaged.
        """
        model, info = load_checkpoint(self.folder / CHECKPOINT, self.model)
        version = ""
        if self.world.is_main and self.run_id:
            with self._tracked({}) as tracker:
                version = self._register(tracker, info.metrics)
        elif self.world.is_main:  # the run was never recorded
            forget_interrupted(self.folder)
        return FinishedRun(self.folder, self.run_id, version, model, info.metrics, None)

    def _tracked(self, parameters: Mapping[str, object]) -> AbstractContextManager[Tracker]:
        if not self.world.is_main:
            return nullcontext(Tracker(self.reporter.notify))
        return tracked_run(self.folder.name, self.folder.parent, parameters, self.reporter.notify, self.run_id)

    def _figures(self, stage: str, report: EpochReport) -> dict[str, float]:
        figures = {
            f"{stage}_loss": report.loss,
            f"{stage}_{self.score}": report.score,
            f"{stage}_learning_rate": report.learning_rate,
            f"{stage}_images_per_second": report.images_per_second,
        }
        if report.validation_loss is not None and report.validation_score is not None:
            # Not "validation_", the prefix of the final figures, which patience takes from an earlier epoch.
            figures["held_out_loss"] = report.validation_loss
            figures[f"held_out_{self.score}"] = report.validation_score
        return figures


def _computed_with(config: TrainingConfig) -> dict[str, object]:
    """Returns what "auto" stands for on this machine."""
    device = pick_device(config.device)
    return {"device": str(device), "workers": pick_workers(config.workers, device)}
