"""What differs in a training run of the detector: whole scenes, which are held out and folded one by one.

Photographs of feedback are shrunk to the detector's input, as the recognizer does, so that they have the scale of
GTSDB.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import nn

from traffic_signs.classes import BENCHMARK_CATEGORIES, GERMAN_SIGNS
from training.data.classes import common_classes
from training.data.dataset_mix import TrainingData
from training.data.images import no_signs
from training.data.records import FEEDBACK, Dataset, Drawings
from training.data.repeats import without_repeats
from training.detector.detections import Detections
from training.detector.evaluate import DetectionEvaluation, evaluate_detections
from training.detector.predict import detect
from training.detector.report import write_detection_evaluation
from training.detector.scenes import Scenes, join_scenes, load_scenes
from training.detector.task import Detection, labelled
from training.errors import DataError
from training.folds import deal_folds
from training.models.detector import MODEL_NAME
from training.trainer import Trainer

INPUT_SIZE = (800, 1360)  # height and width in pixels of GTSDB's scenes


class DetectorTrainer(Trainer[Scenes, list[Detections], DetectionEvaluation]):
    """A training run of the detector; an answer is the detections in a scene."""

    model, score, input_size = MODEL_NAME, "map50", INPUT_SIZE
    error_label = "1 - overlap (training), 1 - mAP50 (held out), %"

    def _label_names(self) -> Sequence[str]:
        return common_classes(_scenes_of(self.sources)).category_names

    def _read(self) -> TrainingData[Scenes]:
        progress, keep_leaked = self.run.reporter.progress, self.recipe.keep_leaked
        data_sets = without_repeats(_scenes_of(self.sources), keep_leaked, progress)
        if not any(dataset.has_signs("train") for dataset in data_sets):
            raise no_signs(data_sets[0], "train")
        train = join_scenes(
            [  # also feedback in which no scene has a sign
                load_scenes(each, "train", partial(progress, f"reading {each.kind} training scenes"), INPUT_SIZE)
                for each in data_sets
                if any(sample.labelled for sample in each.split("train"))
            ]
        )
        tests = {
            each.kind: load_scenes(each, "test", partial(progress, "reading test scenes"))
            for each in data_sets
            if each.has_signs("test")
        }
        return TrainingData(
            name=", ".join(dataset.name for dataset in data_sets),
            train=train,
            tests=tests,
            notices=tuple(
                notice if len(data_sets) == 1 else f"{dataset.name}: {notice}"
                for dataset in data_sets
                for notice in dataset.all_notices()
            ),
            free_of=() if keep_leaked else tuple(tests),
            classes=train.classes,
        )

    def _hold_out(self) -> npt.NDArray[np.int64]:
        if not self.recipe.holdout:
            return np.empty(0, np.int64)
        parts = max(2, round(1 / self.recipe.holdout))
        held = deal_folds(self.data.train.sources, parts, self.recipe.config.seed)[0]
        _check_validation(self.data.train.select(held))
        return held

    def _task(self, examples: Scenes, validation: Scenes | None) -> Detection:
        if not any(len(class_ids) for class_ids in examples.class_ids):
            raise DataError("the scenes to learn from show no sign: give more scenes, such as gtsdb=PATH")
        return Detection(examples, validation)

    def _predict(self, model: nn.Module, examples: Scenes) -> list[Detections]:
        return detect(model, examples.images, partial(self.run.reporter.progress, "evaluating scenes"))

    def _evaluate(self, examples: Scenes, answers: list[Detections]) -> DetectionEvaluation:
        return evaluate_detections(labelled(examples), answers, examples.classes.category_names)

    def _write(
        self, folder: Path, examples: Scenes, answers: list[Detections], evaluation: DetectionEvaluation
    ) -> None:
        read_scene = lambda index: Image.fromarray(examples.images[index])  # noqa: E731
        write_detection_evaluation(folder, evaluation, labelled(examples), answers, read_scene, examples.names)


train_detector = DetectorTrainer.train


def _check_validation(validation: Scenes) -> None:
    """Raises DataError if the held-out scenes have no signs to validate on."""
    class_ids = np.concatenate(validation.class_ids)
    if validation.classes == GERMAN_SIGNS:
        wanted = set(BENCHMARK_CATEGORIES)
        what = f"{', '.join(BENCHMARK_CATEGORIES[:-1])} or {BENCHMARK_CATEGORIES[-1]} sign"
    else:
        wanted, what = set(validation.classes.category_names), "sign"
    shown = {validation.classes.category_names[category] for category in validation.classes.labels(class_ids)}
    if not wanted & shown:
        advice = "give more scenes, such as gtsdb=PATH, or --holdout 0"
        raise DataError(f"the {len(validation)} held-out scenes show no {what}: {advice}")


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
