"""What differs between kinds of networks, from the checkpoint to the gate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from export.arrays import Images, Outputs
from training.data.pictograms import CLASS_COUNT

if TYPE_CHECKING:
    from torch import nn

    from export.gate.evaluation_set import EvaluationSet
    from export.gate.side_by_side import Staged
    from export.gate.verdict import Role
    from export.parity import Parity
    from export.precision import Tolerance
    from export.predictor import Predictor
    from traffic_signs.classes import ClassSet
    from traffic_signs.progress import ProgressCallback
    from training.data.records import Dataset, Split

Size = tuple[int, int]  # height and width in pixels
Progress = Callable[[int, int], None]


class TensorSpec(NamedTuple):
    """A tensor of a network.

    Attributes:
        name: of the tensor.
        datatype: as Triton's protocol names it.
        shape: without the batch; None is a size that differs between networks.
        labelled: whether the lines of labels.txt name its values.
    """

    name: str
    datatype: str
    shape: tuple[int | None, ...]
    labelled: bool = False


class ModelKind(ABC):
    """A kind of network. Everything else in export is the same for all of them.

    Attributes:
        name: of the model, in checkpoints, in the repository and on the server.
        images: what the network looks at, for messages: crops or scenes.
        input: its only input, images of [height, width, 3].
        outputs: in the order in which the wrapped network returns them.
        max_batch: largest batch that is served, unless the model was tuned.
        smaller_batches: sizes of the fixed batch of the file for GPUs, besides the largest.
        few: size of the batch between one and the largest on which parity is proved.
        most_compared: how many real images parity is proved on; None is all.
        fewest_noises: how many random images parity is proved on at least.
        timing_batch: images at once when precisions are timed.
        calibration_images: how many training images int8 takes its ranges from.
        calibration_batch: of these at once: what fits into memory with all activations.
        measure: name of the figure of `score`, as manifests have it.
        max_loss: largest loss of that figure against fp32 that is published by default.
        min_score: what the gate asks of a first champion by default.
        takes_scenes: whether it needs data with whole scenes.
    """

    name: str
    images: str
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    max_batch: int
    smaller_batches: tuple[int, ...] = ()
    few: int
    most_compared: int | None = None
    fewest_noises: int
    timing_batch: int
    calibration_images: int
    calibration_batch: int
    measure: str
    max_loss: float
    min_score: float
    takes_scenes: bool

    def fixed_batches(self, max_batch: int) -> tuple[int, ...]:
        """Returns the batches that the convolutions of a file for GPUs have, smallest first."""
        return (*(size for size in self.smaller_batches if size < max_batch), max_batch)

    def draw_samples(self, size: Size, count: int) -> Images:
        """Draws images as the network gets them, uint8 [count, height, width, 3]; equal arguments, equal images."""
        rng = np.random.default_rng(0)
        # Neighbours in this order look unlike each other.
        return np.stack([self._draw(number * 7 % CLASS_COUNT, rng, size) for number in range(count)])

    @abstractmethod
    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns what is served of a checkpoint's network: a module with the outputs of `outputs`."""

    @abstractmethod
    def open_size(self, class_count: int) -> int:
        """Returns the size that None stands for in the shapes of `outputs`."""

    @abstractmethod
    def label_names(self, classes: ClassSet) -> tuple[str, ...]:
        """Returns which names of a data set's classes the network distinguishes, by id."""

    @abstractmethod
    def _draw(self, class_id: int, rng: np.random.Generator, size: Size) -> Images:
        """Draws one image with a sign, uint8 [height, width, 3]."""

    @abstractmethod
    def read_images(self, dataset: Dataset, size: Size) -> Images:
        """Returns the test images of a data set that parity is proved on, uint8 [n, height, width, 3].

        Raises:
            ExportError: the data set is of another kind.
            training.errors.DataError: it cannot be read.
        """

    @abstractmethod
    def read_labelled(self, dataset: Dataset, split: Split, size: Size, progress: Progress) -> tuple[Images, Any]:
        """Returns all labelled images of a split and their labels, as `score` takes them; raises as `read_images`."""

    @abstractmethod
    def compare(self, reference: Outputs, candidate: Outputs, tolerance: Tolerance) -> Parity:
        """Measures how far two implementations of a network are apart."""

    @abstractmethod
    def count_compared(self, reference: Outputs, tolerance: Tolerance) -> int:
        """Returns how many items the disagreements of `compare` are counted against."""

    @abstractmethod
    def require_parity(self, reference: Outputs, candidate: Outputs, real: int, tolerance: Tolerance) -> Parity:
        """Compares two implementations of a network and refuses a difference that matters.

        Args:
            reference: what the trained network answers.
            candidate: what the exported network answers.
            real: how many of the images, from the first on, are real.
            tolerance: how far they may be apart.

        Raises:
            ParityError: the difference is larger; the message says in which images.
        """

    @abstractmethod
    def score(self, outputs: Outputs, truth: Any, names: tuple[str, ...]) -> float:
        """Returns how well a network does, `measure`, by the labels of `read_labelled`."""

    @abstractmethod
    def evaluate(
        self,
        predictor: Predictor,
        dataset: Dataset,
        split: Split,
        output: Path | None,
        classifier: Predictor | None,
        progress: ProgressCallback,
    ) -> dict[str, Any]:
        """Compares what a network answers on a split with the labels.

        Args:
            predictor: the network.
            dataset: of images and labels.
            split: which part of it.
            output: folder for the figures and pictures, or None.
            classifier: names the signs, where the network takes scenes; None where nobody does.
            progress: shows how much is done.

        Returns:
            The figures of `signs evaluate`.

        Raises:
            ClientError: the data do not fit the network, or there is no answer.
            training.errors.DataError: the data cannot be used.
        """

    @abstractmethod
    def rated_images(
        self, predictor: Predictor, dataset: Dataset, split: Split, limit: int, progress: ProgressCallback
    ) -> tuple[Images, str, Callable[[Images], float]]:
        """Returns labelled images of a split, and how to rate a network on altered copies of them.

        Args:
            predictor: the network.
            dataset: of images and labels.
            split: which part of it.
            limit: how many images, evenly apart; 0 takes all.
            progress: shows how much is read.

        Returns:
            The images, uint8 [n, height, width, 3], the name of the figure, and the function that measures it; errors
            are those of `evaluate`.
        """

    @abstractmethod
    def load_evaluation_set(
        self,
        dataset: Dataset,
        split: Split,
        staged: Mapping[Role, Staged],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> EvaluationSet:
        """Reads the evaluation set of the gate.

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
