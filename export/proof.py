"""What an exported network must stand before it is published: parity with PyTorch, and what its precision costs.

The trained network answers once, whatever number of candidates is compared with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import nn

from export import detection_parity as scenes
from export.conversion import MODEL_TENSORS
from export.errors import AccuracyError
from export.parity import (
    MAX_BATCH,
    Images,
    Parity,
    batch_sizes,
    noises_for,
    open_session,
    predict_in_batches,
    probe_images,
    pytorch_predictor,
    require_parity,
)
from export.precision import TOLERANCES
from export.samples import Labels
from traffic_signs.progress import ProgressCallback, silent
from training.detector.detections import Detections
from training.detector.evaluate import evaluate_detections
from training.models import classifier, detector

# Maps uint8 [n, height, width, 3] to the outputs of the model, in the order of `export.conversion.MODEL_TENSORS`.
Answer = Callable[[Images], Sequence[npt.NDArray[Any]]]


@dataclass(frozen=True)
class Accuracy:
    """How well an exported network does beside the trained one, on the same labelled images.

    Attributes:
        measure: what is measured: accuracy, or map50 of a detector.
        fp32: of the trained network, in PyTorch.
        exported: of the exported one, in ONNX Runtime.
        data: name of the data set.
        split: of it.
        samples: how many images.
    """

    measure: str
    fp32: float
    exported: float
    data: str
    split: str
    samples: int

    @property
    def loss(self) -> float:
        """What the exported network loses; negative where it is better."""
        return self.fp32 - self.exported

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures by name."""
        return asdict(self) | {"loss": self.loss}


@dataclass(frozen=True)
class Proven:
    """What was found of an exported network.

    Attributes:
        parity: how far it is from the trained one.
        real: how many of the samples compared were real images.
        accuracy: how well it does; None where there were no labels.
    """

    parity: Parity
    real: int
    accuracy: Accuracy | None = None

    def parity_figures(self, precision: str) -> dict[str, float]:
        """Returns those of `parity`, how many samples were `real_samples`, and the `tolerance` of its precision."""
        return self.parity.as_dict() | {"real_samples": self.real, "tolerance": TOLERANCES[precision].difference}


class Proof(ABC):
    """Compares exported networks with the trained one."""

    model: str  # the kind of network: "sign_classifier" or "sign_detector"

    def __init__(self, labels: Labels | None, max_loss: float) -> None:
        self._labels, self._max_loss = labels, max_loss

    def check(self, path: Path, precision: str, device: str = "cpu", largest: int | None = None) -> Proven:
        """Compares an ONNX file, run in process, with the trained network.

        Args:
            path: of the file.
            precision: of the file; it decides what is tolerated.
            device: cpu or cuda, where the file runs.
            largest: batch that the file takes, where that is not any.

        Raises:
            ParityError: it answers otherwise.
            AccuracyError: it does worse by more than the largest loss.
            ExportError: ONNX Runtime cannot load the file, or cannot run it on the device.
        """
        session, tensors = open_session(path, device), MODEL_TENSORS[self.model]

        def answer(images: Images) -> list[npt.NDArray[Any]]:
            parts = np.split(images, range(largest, len(images), largest)) if largest else [images]
            answers = (session.run(list(tensors.outputs), {tensors.input: part}) for part in parts)
            return [np.concatenate(each) for each in zip(*answers, strict=True)]

        return self.check_answers(answer, precision)

    @abstractmethod
    def check_answers(self, answer: Answer, precision: str) -> Proven:
        """Compares what an exported network answers, wherever it runs; otherwise as `check`."""

    def _judge(self, measure: str, precision: str, fp32: float, exported: float, samples: int) -> Accuracy:
        assert self._labels is not None
        accuracy = Accuracy(measure, fp32, exported, self._labels.data, "test", samples)
        if not accuracy.loss <= self._max_loss:
            raise AccuracyError(
                f"in {precision} the network's {measure} is {exported:.2%}, in fp32 {fp32:.2%} (on {samples} test "
                f"images of {accuracy.data}): it loses {accuracy.loss:.2%}, allowed {self._max_loss:.2%}; choose "
                "another --precision, or allow more with --max-accuracy-loss"
            )
        return accuracy


class ClassifierProof(Proof):
    """The proof of a classifier.

    Args:
        model: the trained network.
        samples: uint8 [n, height, width, 3], real images; n may be 0.
        labels: of these; None where they are not known.
        max_loss: of accuracy.
        largest: batch that is served.
    """

    model = classifier.MODEL_NAME

    def __init__(
        self,
        model: nn.Module,
        samples: Images,
        labels: Labels | None,
        max_loss: float,
        largest: int = MAX_BATCH,
    ) -> None:
        super().__init__(labels, max_loss)
        self._real, self._sizes = len(samples), batch_sizes(largest)
        self._images = probe_images(samples, noises_for(self._sizes, self._real, fewest=16))
        self._reference = pytorch_predictor(model)(self._images)

    def check_answers(self, answer: Answer, precision: str) -> Proven:
        """See `Proof.check_answers`."""
        answers = predict_in_batches(lambda images: answer(images)[0], self._images, self._sizes)
        parity = require_parity(self._reference, answers, self._real, TOLERANCES[precision])
        if self._labels is None:
            return Proven(parity, self._real)
        class_ids = cast("npt.NDArray[np.int64]", self._labels.truth)
        fp32, exported = (
            float((each[: self._real].argmax(axis=1) == class_ids).mean()) for each in (self._reference, answers)
        )
        return Proven(parity, self._real, self._judge("accuracy", precision, fp32, exported, self._real))


class DetectorProof(Proof):
    """The proof of a detector: parity on the first scenes and on random and extreme ones, mAP50 on all that are real.

    Args:
        model: the trained network.
        samples: uint8 [n, height, width, 3], real scenes; n may be 0.
        labels: of these; None where they are not known.
        max_loss: of mAP50.
        largest: batch that is served.
        progress: shows how many scenes are searched.
    """

    model = detector.MODEL_NAME

    def __init__(
        self,
        model: nn.Module,
        samples: Images,
        labels: Labels | None,
        max_loss: float,
        largest: int = scenes.MAX_BATCH,
        progress: ProgressCallback = silent,
    ) -> None:
        super().__init__(labels, max_loss)
        self._progress, self._sizes = progress, batch_sizes(largest, scenes.FEW)
        self._real = min(len(samples), scenes.MOST_SCENES)
        # What parity is proved on comes first; the other scenes are only judged.
        self._compared = probe_images(samples[: self._real], noises_for(self._sizes, self._real, fewest=2))
        self._others = samples[self._real :] if labels is not None else samples[:0]
        self._reference = self._find(scenes.pytorch_detector(model), "PyTorch", scenes.BATCHES)

    def check_answers(self, answer: Answer, precision: str) -> Proven:
        """See `Proof.check_answers`."""
        found = self._find(lambda images: scenes.Answers(*answer(images)), precision, self._sizes)
        compared = len(self._compared)
        parity = scenes.require_same_signs(
            self._reference.part(0, compared), found.part(0, compared), self._real, TOLERANCES[precision]
        )
        if self._labels is None:
            return Proven(parity, self._real)
        truth, names = cast("tuple[Detections, ...]", self._labels.truth), self._labels.names
        fp32, exported = (self._map50(truth, answers, names) for answers in (self._reference, found))
        return Proven(parity, self._real, self._judge("map50", precision, fp32, exported, len(truth)))

    def _find(self, detect: scenes.Detect, who: str, sizes: Sequence[int]) -> scenes.Answers:
        def tell(done: int, total: int) -> None:
            self._progress(f"scenes in {who}", done, total)

        return scenes.find_in_batches(detect, [*self._compared, *self._others], tell, sizes)

    def _map50(self, truth: Sequence[Detections], answers: scenes.Answers, names: Sequence[str]) -> float:
        compared = len(self._compared)
        found = [*answers.part(0, self._real).detections(), *answers.part(compared, len(answers)).detections()]
        return evaluate_detections(truth, found, names).metrics()["map50"]


def begin_proof(
    model: nn.Module,
    kind: str,
    samples: Images,
    labels: Labels | None,
    max_loss: float,
    largest: int,
    progress: ProgressCallback = silent,
) -> Proof:
    """Lets a trained network answer; what is exported of it can then be checked.

    Args:
        model: the trained network.
        kind: "sign_classifier" or "sign_detector".
        samples: uint8 [n, height, width, 3], real images; n may be 0.
        labels: of these; None where they are not known.
        max_loss: of accuracy or mAP50.
        largest: batch that is served; it is among those that are compared.
        progress: shows how much is done.
    """
    if kind == detector.MODEL_NAME:
        return DetectorProof(model, samples, labels, max_loss, largest, progress)
    return ClassifierProof(model, samples, labels, max_loss, largest)
