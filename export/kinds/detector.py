"""Detectors: whole scenes in, boxes with scores and categories out."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor, nn

from export.arrays import Images, Outputs, spread
from export.detection_parity import compare_signs, count_signs, read_detections, require_same_signs
from export.evaluation.scenes import evaluate_scenes, local_finder, require_scenes
from export.gate.config import GateLimits
from export.gate.detection import check_false_alarms, check_precision
from export.gate.rules import Answers, check_classes, check_overall
from export.gate.statistics import Ranked, signs_by_scene
from export.gate.verdict import Finding, Role, UnusableError
from export.model_kind import Entrant, EvaluationSet, ModelKind, Predictor, Progress, Rating, Size, TensorSpec
from traffic_sign_client.errors import ClientError
from traffic_signs.preprocessing import decode, fit_scene
from traffic_signs.progress import ProgressCallback
from training.data.records import Dataset, Split
from training.data.synthetic import draw_scene
from training.detector.evaluate import evaluate_detections
from training.detector.scenes import load_scenes
from training.detector.task import labelled
from training.models.detector import MAX_DETECTIONS, MODEL_NAME, find_peaks

MOST_COMPARED = 16  # a scene is as much work as 500 crops
SERVED_SAMPLES = 8  # scenes on which the gate compares the server with the file


class WithPeaks(nn.Module):
    """The detector that is served: its outputs are boxes, scores and categories."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, scenes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps uint8 [n, h, w, 3] to what `training.models.detector.Found` describes."""
        found = find_peaks(self.network(scenes), scenes.shape[1], scenes.shape[2])
        return found.boxes, found.scores, found.categories


def _read_images(dataset: Dataset, size: Size) -> Images:
    require_scenes(dataset)
    samples = itertools.islice(dataset.split("test"), MOST_COMPARED)
    return np.stack([fit_scene(decode(dataset.read(sample)), *size).pixels for sample in samples])


def _read_labelled(dataset: Dataset, split: Split, size: Size, progress: Progress) -> tuple[Images, Any]:
    """Reads scenes in the size of the detector's input, and their signs at that size."""
    require_scenes(dataset)
    scenes = load_scenes(dataset, split, progress)
    fitted = [fit_scene(Image.fromarray(pixels), *size) for pixels in scenes.images]
    truth = [
        replace(signs, boxes=(signs.boxes * np.array(scene.scale)).astype(np.float32))
        for scene, signs in zip(fitted, labelled(scenes), strict=True)
    ]
    return np.stack([scene.pixels for scene in fitted]), tuple(truth)


def _map50(outputs: Outputs, truth: Any, names: tuple[str, ...]) -> float:
    return evaluate_detections(truth, read_detections(outputs), names).metrics()["map50"]


def _evaluate(
    network: Predictor,
    dataset: Dataset,
    split: Split,
    output: Path | None,
    classifier: Predictor | None,
    progress: ProgressCallback,
) -> dict[str, Any]:
    return evaluate_scenes(local_finder(network, classifier), dataset, split, output, progress)


def _rated_images(
    network: Predictor, dataset: Dataset, split: Split, limit: int, progress: ProgressCallback
) -> tuple[Images, str, Callable[[Images], Rating]]:
    if not dataset.has_scenes:
        raise ClientError(f"{dataset.name} has no street scenes: measure a detector on gtsdb=PATH")
    find, scenes = local_finder(network, None), load_scenes(dataset, split, partial(progress, "reading scenes"))
    scenes = scenes.select(spread(len(scenes), limit))
    if len({image.shape for image in scenes.images}) != 1:
        raise ClientError(f"the scenes of {dataset.name} differ in size: give gtsdb=PATH")
    truth = labelled(scenes)
    if not sum(map(len, scenes.class_ids)):
        raise ClientError(f"the chosen scenes of {dataset.name} show no sign: give a larger --limit, or 0 for all")

    def average_precision(images: Images) -> Rating:
        found = [find(Image.fromarray(image), b"").signs for image in images]
        figures = evaluate_detections(truth, found, scenes.classes.category_names).metrics()
        return Rating(figures.get("map50_benchmark", figures["map50"]))

    return np.stack(scenes.images), "mAP50", average_precision


class _Answer(NamedTuple):
    """Whether each labelled sign is found, bool [signs]; the false alarms in each scene, int64 [scenes]; and all."""

    is_found: npt.NDArray[np.bool_]
    alarms: npt.NDArray[np.int64]
    ranked: Ranked


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
        chosen = [Image.fromarray(self._scenes.images[number]) for number in spread(len(self._scenes), SERVED_SAMPLES)]
        self.images = {
            role: np.stack([fit_scene(scene, *entrant.size).pixels for scene in chosen])
            for role, entrant in entrants.items()
        }
        self._entrants = entrants
        signs = sum(len(scene.labels) for scene in self._truth)
        self.data = {"name": dataset.name, "split": split, "fingerprint": self._scenes.fingerprint, "signs": signs}

    def evaluate(
        self, versions: Mapping[Role, Predictor], limits: GateLimits, progress: ProgressCallback
    ) -> list[Finding]:
        """See `EvaluationSet.evaluate`."""
        answers = {role: self._ask(role, version, progress) for role, version in versions.items()}
        mine, other = answers["challenger"], answers.get("champion")
        labels = np.concatenate([scene.labels for scene in self._truth])
        signs = signs_by_scene(self._truth, len(self._names))
        right = Answers(self._names, labels, mine.is_found, other.is_found if other else None)
        return [
            check_overall("signs found", right, limits),
            check_classes("categories", right, limits),
            check_false_alarms(mine.alarms, other.alarms if other else None, limits),
            check_precision(mine.ranked, other.ranked if other else None, signs, limits),
        ]

    def _ask(self, role: Role, version: Predictor, progress: ProgressCallback) -> _Answer:
        find, found = local_finder(version, None), []
        for image in self._scenes.images:
            found.append(find(Image.fromarray(image), b"").signs)
            progress(f"asking the {role}", len(found), len(self._scenes))
        try:
            evaluation = evaluate_detections(self._truth, found, self._names, self._threshold)
        except ValueError as error:  # a score above 1, a category that is none
            kind = UnusableError if role == "challenger" else ClientError
            raise kind(f"the answers of {self._entrants[role].name}, the {role}, cannot be right: {error}") from error
        ranked, matches = Ranked.of(found, evaluation.matches), np.concatenate(evaluation.matches)
        counts = ranked.scores >= self._threshold
        firsts = np.cumsum([0, *(len(scene.labels) for scene in self._truth)])
        is_found = np.zeros(firsts[-1], np.bool_)
        is_found[(firsts[ranked.scenes] + matches)[counts & ranked.is_right]] = True
        alarms = np.bincount(ranked.scenes[counts & ~ranked.is_right], minlength=len(found))
        return _Answer(is_found, alarms, ranked)


DETECTOR = ModelKind(
    name=MODEL_NAME,
    images="scenes",
    takes_scenes=True,
    input=TensorSpec("scenes", "UINT8", (None, None, 3)),
    outputs=(
        TensorSpec("boxes", "FP32", (None, 4)),
        TensorSpec("scores", "FP32", (None,)),
        TensorSpec("categories", "INT32", (None,)),
    ),
    open_size=lambda classes: MAX_DETECTIONS,
    wrap=WithPeaks,
    max_batch=4,  # scenes of 3.3 MB: more at once gain nothing
    images_on_cpus=1,  # nor on a CPU, where a second instance would have nothing to do
    # On a GPU 64 crops take hardly longer than one; but four scenes take nearly three times as long as one, so a single
    # scene has its own branch.
    smaller_batches=(1,),
    few=3,
    most_compared=MOST_COMPARED,
    fewest_noises=2,
    compare=lambda reference, candidate, tolerance: compare_signs(reference, candidate, tolerance)[0],
    count_compared=count_signs,
    require_parity=require_same_signs,
    timing_batch=1,
    calibration_images=32,
    calibration_batch=1,
    label_names=lambda classes: classes.category_names,
    read_images=_read_images,
    read_labelled=_read_labelled,
    draw=lambda class_id, rng, size: draw_scene([class_id], rng, size[1], size[0])[0],
    score=_map50,
    measure="map50",
    max_loss=0.01,
    evaluate=_evaluate,
    rated_images=_rated_images,
    load_evaluation_set=SceneEvaluationSet,
    min_score=0.5,
)
