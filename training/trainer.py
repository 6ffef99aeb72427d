"""The steps of a training run, from data to registered checkpoint, the same for every kind of model.

A share of the examples is held out for validation and calibration. A refit trains the network once more on everything
with the same recipe. The test images are used once, at the end. What differs between kinds is in the subclasses of
`Trainer`: `training.classifier.runs` and `training.detector.runs`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import nn

from traffic_signs.commit import git_commit
from training.checkpoint import CheckpointInfo, build_model
from training.data.dataset_mix import Examples, TrainingData
from training.data.records import Dataset, Drawings
from training.device import World
from training.folds import deal_folds
from training.recipe import Recipe, TrainingConfig
from training.resume import check_name
from training.runs import FinishedRun, Run, RunReporter
from training.train import Task, Trained


class Evaluated(Protocol):
    """The result of an evaluation."""

    def metrics(self) -> dict[str, float]:
        """Returns the scalar figures by name."""


Answers = TypeVar("Answers", bound=Iterable[Any])
Evaluation = TypeVar("Evaluation", bound=Evaluated)
Indices = npt.NDArray[np.int64]


class Trainer(ABC, Generic[Examples, Answers, Evaluation]):
    """A run of one kind of model. Answers are what a network says of examples, one item for each."""

    model: ClassVar[str]  # name in the registry and on the server
    score: ClassVar[str]  # name of the task's score in MLflow
    error_label: ClassVar[str] = "error, %"  # of 1 minus the score in the plot of the curves
    input_size: ClassVar[tuple[int, int]]  # height and width of the network's input in pixels
    data: TrainingData[Examples]  # once it is read

    def __init__(self, run: Run, sources: Sequence[Dataset | Drawings]) -> None:
        self.run, self.recipe, self.sources = run, run.recipe, sources

    @classmethod
    def train(
        cls,
        sources: Sequence[Dataset | Drawings],
        recipe: Recipe,
        name: str,
        runs: Path,
        reporter: RunReporter | None = None,
        specs: Sequence[str] = (),
        world: World | None = None,
    ) -> FinishedRun:
        """Trains a model on the training splits, evaluates it on the test splits and records the run.

        Args:
            name: name of the run; `runs/<name>` must not exist.
            runs: folder of all runs and of MLflow's database.
            specs: the sources as given on the command line; needed to resume the run.
            world: the processes that train together.

        Raises:
            TrainingError: the name is taken or invalid, the data cannot be used, or training diverged.
        """
        check_name(name, runs)
        run = Run(cls.model, cls.score, recipe, runs / name, reporter or RunReporter(), tuple(specs), world or World())
        return cls(run, sources).carry_out()

    @abstractmethod
    def _label_names(self) -> Sequence[str]:
        """Returns the names of the network's outputs by id; raises DataError if the data does not suit the model."""

    @abstractmethod
    def _read(self) -> TrainingData[Examples]:
        """Reads the training and test examples, without leakage between them."""

    @abstractmethod
    def _hold_out(self) -> Indices:
        """Chooses the training examples to hold out, by the recipe; empty for none."""

    def _validation_pool(self) -> Indices:
        """Returns the training examples that may be held out; each fold trains on all others."""
        return np.arange(len(self.data.train))

    @abstractmethod
    def _task(self, examples: Examples, validation: Examples | None) -> Task:
        """Returns the learning task of examples."""

    @abstractmethod
    def _predict(self, model: nn.Module, examples: Examples) -> Answers:
        """Runs a network over examples."""

    def _join(self, answers: Sequence[Any]) -> Any:
        """Joins the answers for single examples, of several networks."""
        return list(answers)

    @abstractmethod
    def _evaluate(self, examples: Examples, answers: Answers) -> Evaluation:
        """Compares answers with labels."""

    def _validation_figures(self, examples: Examples, answers: Answers) -> dict[str, float]:
        """Returns the figures of held-out examples by name."""
        return self._evaluate(examples, answers).metrics()

    def _calibrate(self, model: nn.Module, examples: Examples, answers: Answers) -> dict[str, float]:
        """Calibrates a network by answers for examples that it has not learned from; returns figures."""
        return {}

    @abstractmethod
    def _write(self, folder: Path, examples: Examples, answers: Answers, evaluation: Evaluation) -> None:
        """Writes the figures and plots of an evaluation into a folder."""

    def carry_out(self) -> FinishedRun:
        """Reads the data, trains, evaluates and records."""
        run, recipe = self.run, self.recipe
        info = CheckpointInfo(self.model, recipe.architecture, {}, list(self._label_names()), list(self.input_size), {})
        build_model(info)  # fails before the data is read if the architecture cannot be built
        self.data = data = self._read()
        for notice in data.notices:
            run.reporter.notify(notice)
        if not data.tests:
            run.reporter.notify("the data has no test signs: evaluate the checkpoint with `signs evaluate`")
        folds = self._deal_folds() if recipe.folds else []
        held = self._hold_out()
        recipe = replace(recipe, config=recipe.config.suited_to(len(data.train)))
        with run.recorded(recipe, data.facts()) as run_id:
            info = replace(info, data=data.facts(), run_id=run_id, git_commit=git_commit())
            model, metrics = self._fit_all(info, recipe, folds, held)
            return self._evaluate_and_finish(model, info, metrics)

    def _deal_folds(self) -> list[Indices]:
        pool, sources = self._validation_pool(), self.data.train.sources
        folds = deal_folds([sources[index] for index in pool], self.recipe.folds, self.recipe.config.seed)
        return [pool[fold] for fold in folds]

    def _fit_all(
        self, info: CheckpointInfo, recipe: Recipe, folds: Sequence[Indices], held: Indices
    ) -> tuple[nn.Module, dict[str, float]]:
        """Returns the network, and the figures of cross-validation, hold-out and calibration."""
        train, config = self.data.train, recipe.config
        metrics: dict[str, float] = {}
        unseen: tuple[Examples, Answers] | None = None  # examples not learned from

        def fit(stage: str, examples: Examples, config: TrainingConfig, validation: Examples | None = None) -> Trained:
            return self.run.fit(stage, lambda: build_model(info), self._task(examples, validation), config)

        if folds:
            fold_config = replace(config, patience=0)
            fit_fold: Callable[[str, Examples], nn.Module] = lambda stage, part: fit(stage, part, fold_config).model  # noqa: E731
            answers = self._join(cross_validate(fit_fold, self._predict, train, folds))
            pool = np.sort(np.concatenate(folds))
            unseen = (train if len(pool) == len(train) else train.select(pool)), answers  # a copy costs memory
            metrics |= _named("cross_validated", self._validation_figures(*unseen))
        trained: Trained | None = None
        if len(held):
            validation = train.select(held)
            trained = fit("train", _without(train, held), config, validation)
            answers = self._predict(trained.model, validation)
            metrics |= _named("validation", self._validation_figures(validation, answers))
            unseen = unseen or (validation, answers)
            config = replace(config, patience=0, epochs=trained.epoch)
        if trained is None or recipe.refit:
            trained = fit("refit" if trained else "train", train, config)
        if unseen is not None:
            metrics |= self._calibrate(trained.model, *unseen)
        return trained.model, metrics

    def _evaluate_and_finish(self, model: nn.Module, info: CheckpointInfo, metrics: dict[str, float]) -> FinishedRun:
        run, tests = self.run, self.data.tests
        answers = {kind: self._predict(model, examples) for kind, examples in tests.items()}
        evaluations = {kind: self._evaluate(examples, answers[kind]) for kind, examples in tests.items()}
        for kind, evaluation in evaluations.items():
            metrics |= _named(f"{kind}_test", evaluation.metrics())

        def write_plots(plots: Path) -> None:
            for kind, evaluation in evaluations.items():
                self._write(plots / f"{kind}_test", tests[kind], answers[kind], evaluation)

        version = run.finish(model, replace(info, metrics=metrics), metrics, write_plots, self.error_label)
        examples = len(self.data.train)
        return FinishedRun(run.folder, info.run_id, version, model, metrics, examples, self.data, answers, evaluations)


def cross_validate(
    fit: Callable[[str, Examples], nn.Module],
    predict: Callable[[nn.Module, Examples], Iterable[Any]],
    examples: Examples,
    folds: Sequence[Indices],
) -> list[Any]:
    """Cross-validates: for each fold, trains on the other folds and predicts this one.

    `fit` is called with the name of the stage and its examples; `folds` has the indices of each fold. Returns the
    answer for each example of a fold, in their order, by the network that has not seen the fold.
    """
    answers: dict[int, Any] = {}
    for number, held in enumerate(folds, start=1):
        model = fit(f"fold {number} of {len(folds)}", _without(examples, held))
        for index, answer in zip(held, predict(model, examples.select(held)), strict=True):
            answers[index] = answer
    return [answers[index] for index in sorted(answers)]


def _without(examples: Examples, held: Indices) -> Examples:
    return examples.select(np.setdiff1d(np.arange(len(examples)), held))


def _named(protocol: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{protocol}_{name}": value for name, value in figures.items()}
