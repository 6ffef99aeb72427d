"""What every training run does, whatever it trains: it is recorded, can be resumed, and leaves a checkpoint."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from torch import nn

from traffic_signs.progress import ProgressCallback, silent
from training.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from training.device import World, pick_device, pick_precision, pick_workers
from training.errors import CheckpointError, TrainingError
from training.plots import draw_curves
from training.recipe import Recipe, TrainingConfig
from training.resume import (
    CHECKPOINT,
    check_name,
    forget_interrupted,
    load_interrupted,
    save_interrupted,
    state_file,
)
from training.tracking import Tracker, tracked_run
from training.train import EpochReport, Task, Trained, seed_everything, train


@dataclass(frozen=True)
class RunReporter:
    """Receives progress and notices.

    Attributes:
        progress: of how far each stage is.
        notify: receives what a person should know, a sentence at a time.
    """

    progress: ProgressCallback = silent
    notify: Callable[[str], None] = lambda notice: None


@dataclass(frozen=True)
class FinishedRun:
    """What every finished training run left behind.

    Attributes:
        folder: the run's folder, with `checkpoint/` and `plots/` in it.
        run_id: of MLflow; empty where the run could not be recorded.
        registered_version: in MLflow's model registry; empty likewise.
        model: the trained network, on the CPU, in evaluation mode.
        metrics: all scalar figures by name, as recorded in MLflow and in the checkpoint.
        examples: how many crops or scenes it learned from; None where an earlier process knew.
    """

    folder: Path
    run_id: str
    registered_version: str
    model: nn.Module
    metrics: dict[str, float]
    examples: int | None

    @property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint."""
        return self.folder / CHECKPOINT


@dataclass
class Run:
    """A run in progress.

    Attributes:
        model: name of what is trained, in the model registry and on the server.
        score: what the task's score is called in the record.
        recipe: how it is trained.
        folder: of the run.
        reporter: receives progress and notices.
        specs: the data sets as the command line gives them; with them the run can be resumed after a kill.
        world: the processes that train together.
        run_id: of MLflow, where the run was begun by an earlier process.
        curves: of each stage that is done.
    """

    model: str
    score: str
    recipe: Recipe
    folder: Path
    reporter: RunReporter
    specs: tuple[str, ...]
    world: World
    run_id: str = ""
    curves: dict[str, tuple[EpochReport, ...]] = field(default_factory=dict)
    tracker: Tracker = field(init=False)

    @classmethod
    def begun(
        cls,
        model: str,
        score: str,
        recipe: Recipe,
        name: str,
        runs: Path,
        reporter: RunReporter | None,
        specs: Sequence[str],
        world: World | None,
    ) -> Self:
        """Returns a new run, in the folder `runs/<name>`; the other arguments are the attributes.

        Raises:
            TrainingError: the name is taken or unfit.
        """
        check_name(name, runs)
        return cls(model, score, recipe, runs / name, reporter or RunReporter(), tuple(specs), world or World())

    @classmethod
    def resumed(cls, model: str, score: str, folder: Path, reporter: RunReporter | None, world: World | None) -> Self:
        """Returns a run that an earlier process began, as it began it.

        Raises:
            TrainingError: there is no such run.
        """
        found = load_interrupted(folder)
        return cls(
            model, score, found.recipe, folder, reporter or RunReporter(), found.specs, world or World(), found.run_id
        )

    def __post_init__(self) -> None:
        # A wrong setting is better told before the data is read.
        pick_precision(self.recipe.config.precision, pick_device(self.recipe.config.device))
        if self.recipe.folds == 1:
            raise TrainingError("one fold holds everything out: choose 2 --folds or more, or 0 for none")
        if self.recipe.config.patience and not self.recipe.holdout:
            raise TrainingError("patience needs held-out data to watch: hold some out with --holdout")

    @contextmanager
    def recorded(self, recipe: Recipe, facts: Mapping[str, object]) -> Iterator[str]:
        """Opens the record; yields the id of the MLflow run, which is empty where there is none.

        What is wrong with the training itself ends the run; after anything else it can be resumed.

        Args:
            recipe: with all choices made, to be recorded.
            facts: of the data, likewise.
        """
        parameters = {**asdict(recipe.config), **asdict(recipe), **facts, **_computed_with(recipe.config)}
        del parameters["config"]
        with self._tracked(parameters) as self.tracker:
            if self.specs and self.world.is_main:
                save_interrupted(self.folder, self.model, self.specs, self.recipe, self.tracker.run_id)
            try:
                yield self.tracker.run_id
            except CheckpointError:
                raise  # such as a full disk: what is there can be resumed
            except TrainingError:
                forget_interrupted(self.folder)
                raise

    def fit(self, stage: str, build: Callable[[], nn.Module], task: Task, config: TrainingConfig) -> Trained:
        """Trains one network from the seed on, or goes on where an earlier process left it."""
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
        """Writes down all that is to stay, and registers the version.

        Args:
            model: what was trained.
            info: of its checkpoint.
            metrics: all scalar figures.
            write_plots: called with the folder of the plots.
            error: what the curves call 1 minus the score.

        Returns:
            The registry's version number; empty where the run is not recorded.
        """
        if not self.world.is_main:
            return ""
        plots = self.folder / "plots"
        draw_curves(self.curves["train"], plots / "curves.png", error)
        curves = {stage: [asdict(report) for report in reports] for stage, reports in self.curves.items()}
        (plots / "curves.json").write_text(json.dumps(curves, indent=2) + "\n")
        write_plots(plots)
        save_checkpoint(self.folder / CHECKPOINT, model, info)
        return self._register(self.tracker, metrics)

    def _register(self, tracker: Tracker, metrics: Mapping[str, float]) -> str:
        """Records figures and files of a run whose checkpoint is there, and registers the version."""
        tracker.log_metrics(metrics)
        tracker.log_files(self.folder / "plots")
        tracker.log_files(self.folder / CHECKPOINT)
        version = tracker.register_checkpoint(self.model, metrics)
        forget_interrupted(self.folder)
        return version

    def register_late(self) -> FinishedRun:
        """Records and registers a run that was killed when its checkpoint was there and its version was not yet.

        Raises:
            CheckpointError: the checkpoint is damaged.
        """
        model, info = load_checkpoint(self.folder / CHECKPOINT, self.model)
        version = ""
        if self.world.is_main and self.run_id:
            with self._tracked({}) as tracker:
                version = self._register(tracker, info.metrics)
        elif self.world.is_main:  # it was never recorded
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
            # Not "validation_": so the final figures are called, which patience takes from an earlier epoch.
            figures["held_out_loss"] = report.validation_loss
            figures[f"held_out_{self.score}"] = report.validation_score
        return figures


def _computed_with(config: TrainingConfig) -> dict[str, object]:
    """Returns what "auto" has come to on this machine: with another precision the same seed gives other weights."""
    device = pick_device(config.device)
    return {
        "device": str(device),
        "precision": pick_precision(config.precision, device),
        "workers": pick_workers(config.workers, device),
    }


def resume_registration(
    name: str, runs: Path, reporter: RunReporter | None = None, world: World | None = None
) -> FinishedRun:
    """Goes on with a run of either network that has its checkpoint and lacks its registered version.

    Raises:
        TrainingError: there is no such run, or its checkpoint is damaged.
    """
    found = load_interrupted(runs / name)
    return Run.resumed(found.model, "", runs / name, reporter, world).register_late()
