"""What an exported network must stand before it is published: parity with PyTorch, and what its precision costs.

The trained network answers once, whatever number of candidates is compared with it.
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
    """How well an exported network does beside the trained one, on the same labelled images.

    Attributes:
        measure: what is measured: accuracy, or map50 of a detector.
        fp32: of the trained network, in PyTorch.
        exported: of the exported one, in ONNX Runtime.
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
        real: how many of the samples compared were real images.
        accuracy: how well it does; None where there were no labels.
    """

    parity: Parity
    real: int
    accuracy: Accuracy | None = None

    def parity_figures(self, precision: str) -> dict[str, float]:
        """Returns those of `parity`, how many samples were `real_samples`, and the `tolerance` of its precision."""
        return asdict(self.parity) | {"real_samples": self.real, "tolerance": TOLERANCES[precision].difference}


class Proof:
    """Compares exported networks with the trained one, which answers when this is made.

    Args:
        network: the trained one.
        samples: uint8 [n, height, width, 3], real images; n may be 0.
        max_loss: largest loss of accuracy or mAP50.
        largest: batch that is served, which is among those that are compared; the default of its kind for None.

    Attributes:
        kind: of the network.
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
        # What parity is proved on comes first; of the other images only the labels are compared.
        self._images = [*compared, *(samples[self._real :] if labels is not None else ())]
        usual = batch_sizes(self.kind.max_batch, self.kind.few)
        self._reference = self._answers(network, "PyTorch", usual)

    def check(self, path: Path, precision: str, device: str = "cpu", largest: int | None = None) -> Proven:
        """Compares an ONNX file, run in process, with the trained network.

        Args:
            precision: of the file; it decides what is tolerated.
            largest: batch that the file takes, where that is not any.

        Raises:
            ParityError: it answers otherwise.
            AccuracyError: it does worse by more than the largest loss.
            ExportError: ONNX Runtime cannot load the file, or cannot run it on the device.
        """
        return self.check_network(OnnxPredictor(path, device, largest or self._sizes[-1]), precision)

    def check_network(self, exported: Predictor, precision: str) -> Proven:
        """Compares an exported network with the trained one, wherever it runs; otherwise as `check`."""
        answers, compared = self._answers(exported, precision, self._sizes), slice(self._compared)
        parity = self.kind.require_parity(
            select(self._reference, compared), select(answers, compared), self._real, TOLERANCES[precision]
        )
        accuracy = self._measure(answers, precision) if self._labels is not None else None
        return Proven(parity, self._real, accuracy)

    def _answers(self, network: Predictor, who: str, sizes: Sequence[int]) -> Outputs:
        return predict_in_batches(network, self._images, sizes, partial(self._progress, f"{self.kind.images} in {who}"))

    def _measure(self, answers: Outputs, precision: str) -> Accuracy:
        """Returns how well both networks do on the real images."""
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
