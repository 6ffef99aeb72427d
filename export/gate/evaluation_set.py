"""The evaluation set, and what champion and challenger make of it: of a classifier crops, of a detector scenes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.detection_parity import Answers as Found
from export.detection_parity import compare_signs, onnxruntime_detector
from export.evaluation.model_ref import CLASSIFIER, LoadedModel
from export.evaluation.scenes import in_process
from export.gate.config import Limits
from export.gate.detection import judge_false_alarms, judge_precision
from export.gate.rules import Answers, judge_classes, judge_overall, judge_parity
from export.gate.side_by_side import Role, ServedVersion, Staged, UnusableError
from export.gate.statistics import Ranked
from export.gate.verdict import Finding
from export.parity import compare, onnxruntime_predictor
from export.precision import FP32, TOLERANCES
from traffic_sign_client.errors import ClientError
from traffic_signs.preprocessing import fit_scene
from traffic_signs.progress import ProgressCallback
from training.data.crops import cut_crops
from training.data.records import Dataset, Split
from training.detector.detections import Detections
from training.detector.evaluate import DetectionEvaluation, evaluate_detections
from training.detector.scenes import load_scenes
from training.detector.task import labelled

BATCH = 64  # crops between two words of progress
SAMPLED_CROPS, SAMPLED_SCENES = 256, 8  # to compare what is served with what the file itself answers
IN_PROCESS = "ONNX Runtime in process"

Pixels = npt.NDArray[np.uint8]


class EvaluationSet(ABC):
    """An evaluation set that has been read, for one or two versions.

    Attributes:
        data: `name`, `split`, `fingerprint` and number of `signs`.
        images: some of its images as each version takes them, uint8 [n, height, width, 3].
    """

    data: dict[str, Any]
    images: dict[Role, Pixels]

    @abstractmethod
    def judge(
        self, contenders: Mapping[Role, ServedVersion], limits: Limits, progress: ProgressCallback
    ) -> list[Finding]:
        """Has both answer, and returns what the rules say of it.

        Raises:
            UnusableError: the challenger gives no answers, or none that can be right.
            ClientError: likewise the champion.
        """


def load_evaluation_set(
    dataset: Dataset, split: Split, staged: Mapping[Role, Staged], score_threshold: float, progress: ProgressCallback
) -> EvaluationSet:
    """Reads the evaluation set for versions that are of one kind.

    Args:
        dataset: where it is.
        split: which part of it.
        staged: the versions by role.
        score_threshold: the score from which on a detection counts.
        progress: shows how much is done.

    Raises:
        training.errors.DataError: the split has no signs, or an image cannot be used.
        ClientError: it is no data set for such versions.
    """
    if staged["challenger"].kind == CLASSIFIER:
        return CropEvaluationSet(dataset, split, staged, progress)
    if not dataset.has_scenes:
        raise ClientError(f"{dataset.name} has no street scenes: judge a detector on gtsdb=PATH")
    return SceneEvaluationSet(dataset, split, staged, score_threshold, progress)


class CropEvaluationSet(EvaluationSet):
    """Signs cut out for classifiers, for each in its own size; see `load_evaluation_set`."""

    def __init__(
        self, dataset: Dataset, split: Split, staged: Mapping[Role, Staged], progress: ProgressCallback
    ) -> None:
        crops = {}
        for one in staged.values():
            height, width = one.size
            if height != width:
                name = f"{one.manifest.model} {one.manifest.version}"
                raise ClientError(f"{name} takes {width}x{height} pixels: sign crops are square")
            if height not in crops:
                crops[height] = cut_crops(dataset, split, height, lambda *counts: progress("reading images", *counts))
        first = next(iter(crops.values()))
        self.images = {role: crops[one.size[0]].images for role, one in staged.items()}
        self._class_ids, self._names = first.class_ids, dataset.classes.names
        self.data = {"name": dataset.name, "split": split, "fingerprint": first.fingerprint, "signs": len(first)}

    def judge(
        self, contenders: Mapping[Role, ServedVersion], limits: Limits, progress: ProgressCallback
    ) -> list[Finding]:
        """Compares classes; the served probabilities are compared with those of the file."""
        probabilities = {role: self._ask(one, progress) for role, one in contenders.items()}
        right = {
            # What is no number is no answer, whichever class NumPy makes of it.
            role: (each.argmax(axis=1) == self._class_ids) & np.isfinite(each).all(axis=1)
            for role, each in probabilities.items()
        }
        answers = Answers(self._names, self._class_ids, right["challenger"], right.get("champion"))
        sample = _spread(len(self._class_ids), SAMPLED_CROPS)
        staged = contenders["challenger"].staged
        alone = onnxruntime_predictor(staged.model_file)(self.images["challenger"][sample])
        figures = compare(alone, probabilities["challenger"][sample]).as_dict()
        return [
            judge_overall("accuracy", answers, limits),
            judge_classes("classes", answers, limits),
            judge_parity("served answers", staged.manifest.precision, figures, IN_PROCESS, len(sample)),
        ]

    def _ask(self, contender: ServedVersion, progress: ProgressCallback) -> npt.NDArray[np.float32]:
        role, parts = contender.staged.role, []
        images = self.images[role]
        for start in range(0, len(images), BATCH):
            (probabilities,) = contender.ask(images[start : start + BATCH])
            if probabilities.shape[1:] != (len(self._names),):
                manifest = contender.staged.manifest
                raise ClientError(
                    f"{manifest.model} {manifest.version} tells {probabilities.shape[-1]} classes apart and the data "
                    f"{len(self._names)}: it cannot be judged on them"
                )
            parts.append(probabilities)
            progress(f"asking the {role}", min(start + BATCH, len(images)), len(images))
        return np.concatenate(parts)


class SceneEvaluationSet(EvaluationSet):
    """Whole scenes for detectors; see `load_evaluation_set`."""

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        staged: Mapping[Role, Staged],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> None:
        self._scenes = load_scenes(dataset, split, lambda *counts: progress("reading scenes", *counts))
        self._truth, self._threshold = labelled(self._scenes), score_threshold
        self._names = dataset.classes.category_names
        chosen = [Image.fromarray(self._scenes.images[number]) for number in _spread(len(self._scenes), SAMPLED_SCENES)]
        self.images = {
            role: np.stack([fit_scene(scene, *one.size).pixels for scene in chosen]) for role, one in staged.items()
        }
        signs = sum(len(scene.labels) for scene in self._truth)
        fingerprint = self._scenes.fingerprint
        self.data = {"name": dataset.name, "split": split, "fingerprint": fingerprint, "signs": signs}

    def judge(
        self, contenders: Mapping[Role, ServedVersion], limits: Limits, progress: ProgressCallback
    ) -> list[Finding]:
        """Compares what is found of the labelled signs, what is found besides, and the served boxes with the file's."""
        found = {role: self._find(one, progress) for role, one in contenders.items()}
        evaluations = {role: self._evaluate(role, each) for role, each in found.items()}
        is_found = {role: self._found_signs(found[role], each) for role, each in evaluations.items()}
        alarms = {role: self._false_alarms(found[role], each) for role, each in evaluations.items()}
        ranked = {role: _ranked(found[role], each) for role, each in evaluations.items()}
        labels = np.concatenate([scene.labels for scene in self._truth])
        answers = Answers(self._names, labels, is_found["challenger"], is_found.get("champion"))
        count = len(self._names)
        signs = np.stack([np.bincount(scene.labels, minlength=count) for scene in self._truth])
        staged, images = contenders["challenger"].staged, self.images["challenger"]
        served = Found(*contenders["challenger"].ask(images))
        alone = onnxruntime_detector(staged.model_file)(images)
        tolerance = TOLERANCES.get(staged.manifest.precision, TOLERANCES[FP32])
        parity, _ = compare_signs(alone, served, tolerance)
        compared = int((alone.scores >= tolerance.floor).sum())
        return [
            judge_overall("signs found", answers, limits),
            judge_classes("categories", answers, limits),
            judge_false_alarms(alarms["challenger"], alarms.get("champion"), limits),
            judge_precision(ranked["challenger"], ranked.get("champion"), signs, limits),
            judge_parity("served answers", staged.manifest.precision, parity.as_dict(), IN_PROCESS, compared),
        ]

    def _find(self, contender: ServedVersion, progress: ProgressCallback) -> list[Detections]:
        role = contender.staged.role
        find = in_process(LoadedModel("triton_grpc", contender.ask, contender.staged.size, {}), None)
        found = []
        for image in self._scenes.images:
            found.append(find(Image.fromarray(image), b"").signs)
            progress(f"asking the {role}", len(found), len(self._scenes))
        return found

    def _evaluate(self, role: Role, found: list[Detections]) -> DetectionEvaluation:
        try:
            return evaluate_detections(self._truth, found, self._names, self._threshold)
        except ValueError as error:  # a score above 1, a category that is none
            kind = UnusableError if role == "challenger" else ClientError
            raise kind(f"the {role}'s answers cannot be right: {error}") from error

    def _found_signs(self, found: list[Detections], evaluation: DetectionEvaluation) -> npt.NDArray[np.bool_]:
        """Returns of all labelled signs together whether each is found: bool [signs]."""
        parts = []
        for signs, detections, matches in zip(self._truth, found, evaluation.matches, strict=True):
            is_found = np.zeros(len(signs.labels), np.bool_)
            is_found[matches[(matches >= 0) & (detections.scores >= self._threshold)]] = True
            parts.append(is_found)
        return np.concatenate(parts)

    def _false_alarms(self, found: list[Detections], evaluation: DetectionEvaluation) -> npt.NDArray[np.int64]:
        """Returns how many detections of each scene are no sign: int64 [scenes]."""
        pairs = zip(found, evaluation.matches, strict=True)
        return np.array([((matches < 0) & (each.scores >= self._threshold)).sum() for each, matches in pairs], np.int64)


def _ranked(found: list[Detections], evaluation: DetectionEvaluation) -> Ranked:
    return Ranked(
        scores=np.concatenate([scene.scores for scene in found]),
        is_right=np.concatenate(evaluation.matches) >= 0,
        labels=np.concatenate([scene.labels for scene in found]),
        scenes=np.repeat(np.arange(len(found)), [len(scene.scores) for scene in found]),
    )


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Returns positions that lie evenly over so many."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
