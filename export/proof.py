"""Checks an exported network before its publication: parity with PyTorch, and the loss of its precision.

The trained network answers once for all candidates.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.arrays import Images, Outputs, select
from export.errors import AccuracyError
from export.model_kind import Predictor
from export.parity import Parity, batch_sizes, noises_for, predict_in_batches, probe_images
from export.precision import TOLERANCES
from export.predictor import OnnxPredictor
from export.samples import Labels
from traffic_signs.progress import ProgressCallback, silent


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the exported and the trained network on the same labelled images."""

    measure: str  # accuracy, or map50 for a detector
    fp32: float  # of the trained network, in PyTorch
    exported: float  # of the exported one, in ONNX Runtime
    data: str
    split: str
    samples: int

    @property
    def loss(self) -> float:
        """Loss of the exported network; negative if it is better."""
        return self.fp32 - self.exported

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures by name."""
        return asdict(self) | {"loss": self.loss}


@dataclass(frozen=True)
class Proven:
    """The checks of an exported network; `real` of the samples are real images, and accuracy needs labels."""

    parity: Parity
    real: int
    accuracy: Accuracy | None = None

    def parity_figures(self, precision: str) -> dict[str, float]:
        """Returns `parity`, the number of `real_samples`, and the `tolerance` of the precision."""
        return asdict(self.parity) | {"real_samples": self.real, "tolerance": TOLERANCES[precision].difference}


class Proof:
    """Compares exported networks with the trained one, whose answers the constructor collects.

    Args:
        samples: uint8 [n, height, width, 3], real images; n may be 0.
        max_loss: largest loss of accuracy or mAP50.
        largest: batch that is served; None for the default of the kind.
    """

    def __init__(
        self,
        network: Predictor,
        samples: Images,
        labels: Labels | None = None,
        max_loss: float = 0.0,
        largest: int | None = None,
        progress: ProgressCallback = silent,
    ) -> None:
        self.kind = network.kind
        self._labels, self._max_loss, self._progress = labels, max_loss, progress
        self._sizes = batch_sizes(largest or self.kind.max_batch, self.kind.few)
        real = samples[: self.kind.most_compared]
        self._real = len(real)
        compared = probe_images(real, noises_for(self._sizes, self._real, self.kind.fewest_noises))
        self._compared = len(compared)
        # The images for parity come first; the others are compared with their labels only.
        self._images = [*compared, *(samples[self._real :] if labels is not None else ())]
        usual = batch_sizes(self.kind.max_batch, self.kind.few)
        self._reference = self._answers(network, "PyTorch", usual)

    def check(self, path: Path, precision: str, device: str = "cpu", largest: int | None = None) -> Proven:
        """Compares an ONNX file, run in process, with the trained network.

        Args:
            precision: of the file, for the tolerance.
            largest: batch of a file with a limit.

        Raises:
            ParityError: it differs by more than the tolerance.
            AccuracyError: it loses more than the largest loss.
            ExportError: ONNX Runtime cannot load the file, or cannot run it on the device.
        """
        return self.check_network(OnnxPredictor(path, device, largest or self._sizes[-1]), precision)

    def check_network(self, exported: Predictor, precision: str) -> Proven:
        """Does `check` for a network that runs anywhere."""
        answers, compared = self._answers(exported, precision, self._sizes), slice(self._compared)
        parity = self.kind.require_parity(
            select(self._reference, compared), select(answers, compared), self._real, TOLERANCES[precision]
        )
        accuracy = self._measure(answers, precision) if self._labels is not None else None
        return Proven(parity, self._real, accuracy)

    def _answers(self, network: Predictor, who: str, sizes: Sequence[int]) -> Outputs:
        return predict_in_batches(network, self._images, sizes, partial(self._progress, f"{self.kind.images} in {who}"))

    def _measure(self, answers: Outputs, precision: str) -> Accuracy:
        assert self._labels is not None
        real = np.r_[: self._real, self._compared : len(self._images)]
        truth, names = self._labels.truth, self._labels.names
        fp32, exported = (self.kind.score(select(each, real), truth, names) for each in (self._reference, answers))
        accuracy = Accuracy(self.kind.measure, fp32, exported, self._labels.data, "test", len(real))
        if not accuracy.loss <= self._max_loss:
            raise AccuracyError(
                f"in {precision} the network's {accuracy.measure} is {exported:.2%}, in fp32 {fp32:.2%} (on "
                f"{len(real)} test images of {accuracy.data}): it loses {accuracy.loss:.2%}, allowed "
                f"{self._max_loss:.2%}; choose another --precision, or allow more with --max-accuracy-loss"
            )
        return accuracy
