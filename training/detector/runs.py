"""A training run of the detector, from scenes to registered checkpoint.

As for the classifier, a share of the scenes is held out for validation; then the network is trained once more on all
scenes with the same recipe, and evaluated once on the test scenes. Photographs of feedback are shrunk to the detector's
input, as the recognizer does, so that they have the scale of GTSDB.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import nn

from traffic_signs.categories import BENCHMARK_CATEGORIES
from traffic_signs.classes import GERMAN_SIGNS
from traffic_signs.commit import git_commit
from training.checkpoint import CheckpointInfo, build_model
from training.data.classes import class_facts, common_classes
from training.data.dataset_mix import Drawings, open_sources
from training.data.images import no_signs
from training.data.records import FEEDBACK, Dataset
from training.data.repeats import without_repeats
from training.detector.detections import Detections
from training.detector.evaluate import DetectionEvaluation, evaluate_detections
from training.detector.predict import detect
from training.detector.report import write_detection_evaluation
from training.detector.scenes import Scenes, join_scenes, load_scenes
from training.detector.task import Detection, labelled
from training.device import World
from training.errors import DataError, TrainingError
from training.models.detector import MODEL_NAME
from training.recipe import Recipe, TrainingConfig
from training.runs import FinishedRun, Run, RunReporter
from training.train import Trained

INPUT_SIZE = (800, 1360)  # height and width in pixels of GTSDB's scenes
SCORE = "map50"
ERROR = "1 - overlap (training), 1 - mAP50 (held out), %"  # label of the curves' axis


@dataclass(frozen=True)
class DetectorRun(FinishedRun):
    """A finished training run of the detector.

    Attributes:
        evaluation: evaluation on the test scenes; None if the data has none.
    """

    evaluation: DetectionEvaluation | None


def train_detector(
    sources: Sequence[Dataset | Drawings],
    recipe: Recipe,
    name: str,
    runs: Path,
    reporter: RunReporter | None = None,
    specs: Sequence[str] = (),
    world: World | None = None,
) -> DetectorRun:
    """Trains a detector on the training scenes, evaluates it on the test scenes and records the run.

    Args:
        sources: data sets of scenes; at most one has a test split.
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


def resume_detector(
    name: str, runs: Path, reporter: RunReporter | None = None, world: World | None = None
) -> DetectorRun:
    """Resumes an interrupted run; the result is the same as without the interruption.

    Raises:
        TrainingError: there is no such run, or a reason of `train_detector`.
    """
    run = Run.resumed(MODEL_NAME, SCORE, runs / name, reporter, world)
    return _carry_out(run, open_sources(run.specs))


def _carry_out(run: Run, sources: Sequence[Dataset | Drawings]) -> DetectorRun:
    """Reads the data, trains, evaluates and records."""
    recipe, reporter = run.recipe, run.reporter
    data_sets = _scenes_of(sources)
    classes = common_classes(data_sets)
    info = CheckpointInfo(MODEL_NAME, recipe.architecture, {}, list(classes.category_names), list(INPUT_SIZE), {})
    build_model(info)  # fails before the data is read if the architecture cannot be built
    data_sets = without_repeats(data_sets, recipe.keep_leaked, reporter.progress)
    for dataset in data_sets:
        for notice in dataset.all_notices():
            reporter.notify(notice if len(data_sets) == 1 else f"{dataset.name}: {notice}")
    scenes = _load_training(data_sets, reporter)
    tests: Scenes | None = None
    test_set = next((dataset for dataset in data_sets if dataset.has_signs("test")), None)
    if test_set is not None:
        tests = load_scenes(test_set, "test", partial(reporter.progress, "reading test scenes"))
    else:
        reporter.notify("the data has no test signs: evaluate the checkpoint with `signs evaluate`")
    name = ", ".join(dataset.name for dataset in data_sets)
    free_of = test_set.kind if test_set is not None and not recipe.keep_leaked else ""
    facts = {"name": name, "fingerprint": scenes.fingerprint, "free_of": free_of} | class_facts(classes)
    with run.recorded(recipe, facts) as run_id:
        info = replace(info, data=facts, run_id=run_id, git_commit=git_commit())
        model, metrics = _fit_all(run, recipe, info, scenes)
        kind = test_set.kind if test_set is not None else ""
        return _evaluate_and_finish(run, model, tests, kind, info, metrics, len(scenes))


def _fit_all(run: Run, recipe: Recipe, info: CheckpointInfo, scenes: Scenes) -> tuple[nn.Module, dict[str, float]]:
    """Returns the network, and the figures of cross-validation and hold-out."""
    config = recipe.config
    metrics: dict[str, float] = {}

    def fit(stage: str, part: Scenes, config: TrainingConfig, validation: Scenes | None = None) -> Trained:
        if not any(len(class_ids) for class_ids in part.class_ids):
            raise DataError("the scenes to learn from show no sign: give more scenes, such as gtsdb=PATH")
        return run.fit(stage, lambda: build_model(info), Detection(part, validation), config)

    if recipe.folds:
        found: list[Detections | None] = [None] * len(scenes)
        folds = deal_scenes(len(scenes), recipe.folds, config.seed)
        for number, held in enumerate(folds, start=1):
            kept = scenes.select(np.setdiff1d(np.arange(len(scenes)), held))
            trained = fit(f"fold {number} of {recipe.folds}", kept, replace(config, patience=0))
            for index, answer in zip(held, detect(trained.model, scenes.select(held).images), strict=True):
                found[index] = answer
        answers = [answer for answer in found if answer is not None]
        metrics |= _figures("cross_validated", scenes, answers)
    trained_once: Trained | None = None
    if recipe.holdout:
        held = np.sort(deal_scenes(len(scenes), max(2, round(1 / recipe.holdout)), config.seed)[0])
        validation = scenes.select(held)
        _check_validation(validation)
        trained_once = fit("train", scenes.select(np.setdiff1d(np.arange(len(scenes)), held)), config, validation)
        metrics |= _figures("validation", validation, detect(trained_once.model, validation.images))
        config = replace(config, patience=0, epochs=trained_once.epoch)
    if trained_once is None or recipe.refit:
        trained_once = fit("refit" if trained_once else "train", scenes, config)
    return trained_once.model, metrics


def _evaluate_and_finish(
    run: Run,
    model: nn.Module,
    tests: Scenes | None,
    kind: str,
    info: CheckpointInfo,
    metrics: dict[str, float],
    examples: int,
) -> DetectorRun:
    """Evaluates the network on the test scenes, if there are any, and writes the results and the checkpoint."""
    if tests is None:
        version = run.finish(model, replace(info, metrics=metrics), metrics, lambda plots: None, ERROR)
        return DetectorRun(run.folder, info.run_id, version, model, metrics, examples, None)
    progress = partial(run.reporter.progress, "evaluating test scenes")
    progress(0, len(tests))
    found = detect(model, tests.images, progress)
    truth = labelled(tests)
    evaluation = evaluate_detections(truth, found, tests.classes.category_names)
    metrics |= {f"{kind}_test_{key}": value for key, value in evaluation.metrics().items()}

    def write_plots(plots: Path) -> None:
        write_detection_evaluation(
            plots / f"{kind}_test",
            evaluation,
            truth,
            found,
            lambda index: Image.fromarray(tests.images[index]),
            tests.names,
        )

    version = run.finish(model, replace(info, metrics=metrics), metrics, write_plots, ERROR)
    return DetectorRun(run.folder, info.run_id, version, model, metrics, examples, evaluation)


def _figures(protocol: str, scenes: Scenes, answers: list[Detections]) -> dict[str, float]:
    """Evaluates detections in labelled scenes; the name of the protocol precedes each figure."""
    figures = evaluate_detections(labelled(scenes), answers, scenes.classes.category_names).metrics()
    return {f"{protocol}_{key}": value for key, value in figures.items()}


def deal_scenes(count: int, folds: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Splits scenes into random folds.

    Returns:
        For each fold, the indices of its scenes; each scene is in exactly one fold.

    Raises:
        TrainingError: there are fewer scenes than folds.
    """
    if count < folds:
        raise TrainingError(
            f"{folds} folds of {count} scenes, and each holds out one at least: give more scenes, such as gtsdb=PATH, "
            "or fewer --folds or --holdout 0"
        )
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(order[fold::folds]) for fold in range(folds)]


def _check_validation(validation: Scenes) -> None:
    """Raises DataError if the held-out scenes have no signs to validate on."""
    class_ids = np.concatenate(validation.class_ids)
    if validation.classes != GERMAN_SIGNS:
        if not len(class_ids):
            raise DataError(f"the {len(validation)} held-out scenes show no sign: give more scenes, or --holdout 0")
        return
    shown = {validation.classes.category_names[category] for category in validation.classes.labels(class_ids)}
    if not shown & set(BENCHMARK_CATEGORIES):
        raise DataError(
            f"the {len(validation)} held-out scenes show no {', '.join(BENCHMARK_CATEGORIES[:-1])} or "
            f"{BENCHMARK_CATEGORIES[-1]} sign: give more scenes, such as gtsdb=PATH, or --holdout 0"
        )


def _load_training(data_sets: Sequence[Dataset], reporter: RunReporter) -> Scenes:
    """Decodes the training scenes of all data sets, including feedback in which no scene has a sign."""
    if not any(dataset.has_signs("train") for dataset in data_sets):
        raise no_signs(data_sets[0], "train")
    parts = [each for each in data_sets if any(sample.labelled for sample in each.split("train"))]
    progress = reporter.progress
    return join_scenes(
        [
            load_scenes(each, "train", partial(progress, f"reading {each.kind} training scenes"), INPUT_SIZE)
            for each in parts
        ]
    )


def _scenes_of(sources: Sequence[Dataset | Drawings]) -> list[Dataset]:
    data_sets: list[Dataset] = []
    for source in sources:
        if isinstance(source, Drawings) or not source.has_scenes:
            raise DataError(
                f"{source.name} has no street scenes: the detector learns from gtsdb=PATH, coco=PATH, yolo=PATH or "
                "feedback=PATH"
            )
        data_sets.append(source)
    if sum(dataset.kind != FEEDBACK for dataset in data_sets) > 1:
        raise DataError("the detector learns from one data set, and from feedback: give gtsdb=PATH, or another, once")
    return data_sets
