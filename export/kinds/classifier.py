"""Classifiers: crops of single signs in, a probability for each class out."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor, nn

from export.arrays import Images, Outputs, spread
from export.classification_parity import compare_classes, require_same_classes
from export.gate.config import GateLimits
from export.gate.rules import Answers, check_classes, check_overall
from export.gate.verdict import Finding, Role
from export.model_kind import Entrant, EvaluationSet, ModelKind, Predictor, Progress, Rating, Size, TensorSpec
from traffic_sign_client.errors import ClientError
from traffic_signs.preprocessing import crop
from traffic_signs.progress import ProgressCallback
from training.classifier.evaluate import evaluate
from training.data.crops import Crops, cut_crops
from training.data.records import Dataset, Split
from training.data.synthetic import draw_scene
from training.models.classifier import MODEL_NAME

STREET = (400, 240)  # width and height in pixels of the scenes that drawn signs are cut out of
SERVED_SAMPLES = 256  # crops on which the gate compares the server with the file


class WithSoftmax(nn.Module):
    """The classifier that is served: its outputs are probabilities."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 [n, h, w, 3] to float32 [n, classes]; rows sum to one."""
        probabilities: Tensor = self.network(images).softmax(dim=1)
        return probabilities


def _read_labelled(dataset: Dataset, split: Split, size: Size, progress: Progress) -> tuple[Images, Any]:
    crops = cut_crops(dataset, split, size[0], progress)
    return crops.images, crops.class_ids


def _draw(class_id: int, rng: np.random.Generator, size: Size) -> Images:
    scene, (box,) = draw_scene([class_id], rng, *STREET)
    return crop(Image.fromarray(scene), box, size[0])


def _accuracy(outputs: Outputs, class_ids: Any, names: tuple[str, ...]) -> float:
    return float((outputs["probabilities"].argmax(axis=1) == class_ids).mean())


def _evaluate(
    network: Predictor,
    dataset: Dataset,
    split: Split,
    output: Path | None,
    classifier: Predictor | None,
    progress: ProgressCallback,
) -> dict[str, Any]:
    from training.classifier.report import all_figures, write_evaluation  # it draws, and Matplotlib keeps a cache

    crops = cut_crops(dataset, split, _side(network.size, "the classifier"), partial(progress, "reading images"))
    probabilities = finite_probabilities(network(crops.images, partial(progress, "classifying")))
    names = dataset.classes.names
    _require_classes(probabilities.shape[1], len(names), "the classifier")
    evaluation = evaluate(probabilities, crops.class_ids, names)
    if output is not None:
        write_evaluation(output, evaluation, crops, probabilities)
    return all_figures(evaluation, crops, probabilities)


def finite_probabilities(outputs: Outputs) -> npt.NDArray[np.float32]:
    """Returns the probabilities, float32 [n, classes]; raises ClientError if one is not finite."""
    probabilities: npt.NDArray[np.float32] = outputs["probabilities"]
    if not np.isfinite(probabilities).all():
        raise ClientError("the classifier answers with NaN or infinite probabilities: train or export it again")
    return probabilities


def _side(size: Size, who: str) -> int:
    """Returns the side of the crops that a classifier takes; raises ClientError if they are not square."""
    height, width = size
    if height != width:
        raise ClientError(f"{who} takes {width}x{height} pixels: sign crops are square")
    return height


def _require_classes(found: int, wanted: int, who: str) -> None:
    """Raises ClientError if a classifier has another number of classes than the data."""
    if found != wanted:
        raise ClientError(f"{who} has {found} classes and the data have {wanted}: give data of its own classes")


def _rated_images(
    network: Predictor, dataset: Dataset, split: Split, limit: int, progress: ProgressCallback
) -> tuple[Images, str, Callable[[Images], Rating]]:
    crops = cut_crops(dataset, split, _side(network.size, "the classifier"), partial(progress, "reading images"))
    crops = crops.select(spread(len(crops), limit))

    def rate(images: Images) -> Rating:
        outputs = network(images)
        scores = finite_probabilities(outputs).max(axis=1)
        return Rating(_accuracy(outputs, crops.class_ids, dataset.classes.names), scores)

    return crops.images, "accuracy", rate


class CropEvaluationSet(EvaluationSet):
    """Crops of signs, for each version in its own size; `score_threshold` is for detectors.

    Raises:
        training.errors.DataError: the split has no signs, or an image cannot be used.
        ClientError: a version takes no square images.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        entrants: Mapping[Role, Entrant],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> None:
        crops: dict[int, Crops] = {}
        for role, entrant in entrants.items():
            side = _side(entrant.size, f"{entrant.name}, the {role},")
            if side not in crops:
                crops[side] = cut_crops(dataset, split, side, partial(progress, "reading images"))
        first = next(iter(crops.values()))
        self._entrants = entrants
        self._crops = {role: crops[entrant.size[0]].images for role, entrant in entrants.items()}
        sampled = spread(len(first), SERVED_SAMPLES)
        self.images = {role: each[sampled] for role, each in self._crops.items()}
        self._class_ids, self._names = first.class_ids, dataset.classes.names
        self.data = {"name": dataset.name, "split": split, "fingerprint": first.fingerprint, "signs": len(first)}

    def evaluate(
        self, versions: Mapping[Role, Predictor], limits: GateLimits, progress: ProgressCallback
    ) -> list[Finding]:
        """See `EvaluationSet.evaluate`."""
        right = {}
        for role, version in versions.items():
            classes = version(self.images[role][:1])["probabilities"].shape[1]
            _require_classes(classes, len(self._names), f"{self._entrants[role].name}, the {role},")
            probabilities = version(self._crops[role], partial(progress, f"asking the {role}"))["probabilities"]
            # An answer with NaN is wrong, whichever class NumPy makes of it.
            right[role] = (probabilities.argmax(axis=1) == self._class_ids) & np.isfinite(probabilities).all(axis=1)
        answers = Answers(self._names, self._class_ids, right["challenger"], right.get("champion"))
        return [check_overall("accuracy", answers, limits), check_classes("classes", answers, limits)]


CLASSIFIER = ModelKind(
    name=MODEL_NAME,
    images="crops",
    takes_scenes=False,
    input=TensorSpec("images", "UINT8", (None, None, 3)),
    outputs=(TensorSpec("probabilities", "FP32", (None,), labelled=True),),
    open_size=lambda classes: classes,
    wrap=WithSoftmax,
    max_batch=64,
    images_on_cpus=32,  # two instances with batches of 16 answer a tenth more than with whatever waits
    few=7,
    fewest_noises=16,
    compare=lambda reference, candidate, tolerance: compare_classes(reference, candidate),
    count_compared=lambda reference, tolerance: len(reference["probabilities"]),
    require_parity=require_same_classes,
    timing_batch=64,
    calibration_images=512,  # twice as many changed no figure by more than its error
    calibration_batch=16,
    label_names=lambda classes: classes.names,
    read_images=lambda dataset, size: cut_crops(dataset, "test", size[0]).images,
    read_labelled=_read_labelled,
    draw=_draw,
    score=_accuracy,
    measure="accuracy",
    max_loss=0.002,
    evaluate=_evaluate,
    rated_images=_rated_images,
    load_evaluation_set=CropEvaluationSet,
    min_score=0.9,
)
