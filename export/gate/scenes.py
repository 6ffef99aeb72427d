"""The evaluation set of detectors: whole scenes, their signs and the false alarms."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.arrays import spread
from export.evaluation.scenes import local_finder
from export.gate.config import Limits
from export.gate.detection import check_false_alarms, check_precision
from export.gate.rules import Answers, check_classes, check_overall
from export.gate.statistics import Ranked
from export.gate.verdict import Finding, Role, UnusableError
from export.model_kind import Entrant, EvaluationSet, Predictor
from traffic_sign_client.errors import ClientError
from traffic_signs.preprocessing import fit_scene
from traffic_signs.progress import ProgressCallback
from training.data.records import Dataset, Split
from training.detector.detections import Detections
from training.detector.evaluate import DetectionEvaluation, evaluate_detections
from training.detector.scenes import load_scenes
from training.detector.task import labelled

SAMPLED = 8  # scenes on which the server is compared with the file


class SceneEvaluationSet(EvaluationSet):
    """Whole scenes for detectors.

    Raises:
        training.errors.DataError: the split has no signs, or an image cannot be used.
        ClientError: the data set has no scenes.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        entrants: Mapping[Role, Entrant],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> None:
        if not dataset.has_scenes:
            raise ClientError(f"{dataset.name} has no street scenes: evaluate a detector on gtsdb=PATH")
        self._scenes = load_scenes(dataset, split, partial(progress, "reading scenes"))
        self._truth, self._threshold = labelled(self._scenes), score_threshold
        self._names = dataset.classes.category_names
        chosen = [Image.fromarray(self._scenes.images[number]) for number in spread(len(self._scenes), SAMPLED)]
        self.images = {
            role: np.stack([fit_scene(scene, *entrant.size).pixels for scene in chosen])
            for role, entrant in entrants.items()
        }
        self._names_of = {role: entrant.name for role, entrant in entrants.items()}
        signs = sum(len(scene.labels) for scene in self._truth)
        self.data = {"name": dataset.name, "split": split, "fingerprint": self._scenes.fingerprint, "signs": signs}

    def evaluate(self, versions: Mapping[Role, Predictor], limits: Limits, progress: ProgressCallback) -> list[Finding]:
        """See `EvaluationSet.evaluate`."""
        found = {role: self._find(role, version, progress) for role, version in versions.items()}
        evaluations = {role: self._evaluate(role, each) for role, each in found.items()}
        is_found = {role: self._found_signs(found[role], each) for role, each in evaluations.items()}
        alarms = {role: self._false_alarms(found[role], each) for role, each in evaluations.items()}
        ranked = {role: _ranked(found[role], each) for role, each in evaluations.items()}
        labels = np.concatenate([scene.labels for scene in self._truth])
        answers = Answers(self._names, labels, is_found["challenger"], is_found.get("champion"))
        count = len(self._names)
        signs = np.stack([np.bincount(scene.labels, minlength=count) for scene in self._truth])
        return [
            check_overall("signs found", answers, limits),
            check_classes("categories", answers, limits),
            check_false_alarms(alarms["challenger"], alarms.get("champion"), limits),
            check_precision(ranked["challenger"], ranked.get("champion"), signs, limits),
        ]

    def _find(self, role: Role, version: Predictor, progress: ProgressCallback) -> list[Detections]:
        find, found = local_finder(version, None), []
        for image in self._scenes.images:
            found.append(find(Image.fromarray(image), b"").signs)
            progress(f"asking the {role}", len(found), len(self._scenes))
        return found

    def _evaluate(self, role: Role, found: list[Detections]) -> DetectionEvaluation:
        try:
            return evaluate_detections(self._truth, found, self._names, self._threshold)
        except ValueError as error:  # a score above 1, a category that is none
            kind = UnusableError if role == "challenger" else ClientError
            raise kind(f"the answers of {self._names_of[role]}, the {role}, cannot be right: {error}") from error

    def _found_signs(self, found: list[Detections], evaluation: DetectionEvaluation) -> npt.NDArray[np.bool_]:
        """Returns whether each labelled sign is found: bool [signs]."""
        parts = []
        for signs, detections, matches in zip(self._truth, found, evaluation.matches, strict=True):
            is_found = np.zeros(len(signs.labels), np.bool_)
            is_found[matches[(matches >= 0) & (detections.scores >= self._threshold)]] = True
            parts.append(is_found)
        return np.concatenate(parts)

    def _false_alarms(self, found: list[Detections], evaluation: DetectionEvaluation) -> npt.NDArray[np.int64]:
        """Returns the number of false alarms in each scene: int64 [scenes]."""
        pairs = zip(found, evaluation.matches, strict=True)
        return np.array([((matches < 0) & (each.scores >= self._threshold)).sum() for each, matches in pairs], np.int64)


def _ranked(found: list[Detections], evaluation: DetectionEvaluation) -> Ranked:
    return Ranked(
        scores=np.concatenate([scene.scores for scene in found]),
        is_right=np.concatenate(evaluation.matches) >= 0,
        labels=np.concatenate([scene.labels for scene in found]),
        scenes=np.repeat(np.arange(len(found)), [len(scene.scores) for scene in found]),
    )
