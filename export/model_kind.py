"""What differs between kinds of networks, and the two interfaces that this takes: `Predictor` and `EvaluationSet`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from export.arrays import Images, Outputs, join
from export.gate.config import GateLimits
from export.gate.verdict import Finding, Role
from export.parity import Parity
from export.precision import Tolerance
from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.progress import ProgressCallback
from training.data.records import Dataset, Split

if TYPE_CHECKING:
    from torch import nn  # heavy: a config.pbtxt is read without it

Size = tuple[int, int]  # height and width in pixels
Progress = Callable[[int, int], None]


class TensorSpec(NamedTuple):
    """A tensor of a network.

    Attributes:
        datatype: as Triton's protocol names it.
        shape: without the batch; None is a size that differs between networks.
        labelled: whether the lines of labels.txt name its values.
    """

    name: str
    datatype: str
    shape: tuple[int | None, ...]
    labelled: bool = False


class Predictor(ABC):
    """A network that is ready to answer, wherever it runs, until its block ends.

    Attributes:
        backend: who answers: pytorch or onnxruntime, with _cuda on a GPU, triton_grpc or triton_http.
        size: height and width of the input in pixels.
        max_batch: most images at once; more are answered in parts.
        trained_on: what is known of its training data.
    """

    kind: ModelKind
    backend: str
    size: Size
    max_batch: int
    trained_on: dict[str, str]

    def __call__(self, images: Images, progress: Progress = lambda done, total: None) -> Outputs:
        """Returns the outputs of the network by name, each [n, ...].

        Args:
            images: uint8 [n, height, width, 3].
            progress: called with (images done, images in all).

        Raises:
            ClientError: a server does not answer; its subclass says why.
        """
        parts = []
        for start in range(0, max(len(images), 1), self.max_batch):
            parts.append(self._run(images[start : start + self.max_batch]))
            progress(min(start + self.max_batch, len(images)), len(images))
        return join(parts)

    @abstractmethod
    def _run(self, images: Images) -> Outputs:
        """Returns the outputs for at most `max_batch` images."""

    def class_names(self) -> list[str] | None:
        """Returns the names of its classes, of a detector its categories, by id; None if they are not known."""
        return None

    def close(self) -> None:  # noqa: B027  # most have nothing to end
        """Ends the connection, where there is one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Entrant(Protocol):
    """A version that the gate evaluates."""

    @property
    def name(self) -> str:
        """Model and version, for messages."""

    @property
    def size(self) -> Size:
        """Height and width of the input in pixels."""


class EvaluationSet(ABC):
    """The evaluation set of the gate, in memory, for one or two versions.

    Attributes:
        data: `name`, `split`, `fingerprint` and number of `signs`.
        images: some of its images as each version takes them, uint8 [n, height, width, 3].
    """

    data: dict[str, Any]
    images: dict[Role, Images]

    @abstractmethod
    def evaluate(
        self, versions: Mapping[Role, Predictor], limits: GateLimits, progress: ProgressCallback
    ) -> list[Finding]:
        """Runs both versions on the set and returns the findings of the rules for this kind of network.

        Raises:
            UnusableError: the challenger gives no answers, or impossible ones.
            ClientError: the champion gives none.
        """


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """A kind of network. Everything else in export is the same for all of them.

    Attributes:
        name: of the model, in checkpoints, in the repository and on the server.
        images: what the network looks at, for messages: crops or scenes.
        takes_scenes: whether it needs data with whole scenes.
        input: its only input, images of [height, width, 3].
        outputs: in the order in which the wrapped network returns them.
        open_size: maps the number of classes to the size that None stands for in the shapes of `outputs`.
        wrap: turns a checkpoint's network into the module that is served, with these outputs.
        max_batch: largest batch that is served, unless the model was tuned.
        images_on_cpus: images that all instances on CPUs share before one of them takes a larger batch.
        smaller_batches: of the file for GPUs, besides the largest.
        few: size of the batch between one and the largest for parity.
        most_compared: real images for parity; None for all.
        fewest_noises: random images for parity, at least.
        compare: returns the differences between two implementations.
        count_compared: number of items of the first one that `compare` counts disagreements in.
        require_parity: compares the trained network with the exported one, and raises ParityError beyond the tolerance;
            the number is that of real images, which come first.
        timing_batch: images at once when precisions are timed.
        calibration_images: training images for the ranges of int8.
        calibration_batch: of these at once: what fits into memory with all activations.
        label_names: the names of a data set's classes that the network distinguishes, by id.
        read_images: reads test images of a data set for parity, uint8 [n, height, width, 3].
        read_labelled: reads all labelled images of a split, and their labels.
        draw: draws one image with a sign, uint8 [height, width, 3].
        score: the figure `measure` of a network for labels and their names.
        measure: its name in manifests.
        max_loss: largest loss of it against fp32 that is published by default.
        evaluate: returns the figures of `signs evaluate`, and writes them into a folder if there is one; a classifier
            can name the signs of scenes.
        rated_images: reads at most so many labelled images of a split, all for 0; returns them, the name of a figure,
            and the function that measures it on altered copies.
        load_evaluation_set: reads the evaluation set of the gate for these versions, with the lowest score of a
            detection that counts.
        min_score: default limit of the gate for a first champion.
    """

    name: str
    images: str
    takes_scenes: bool
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    open_size: Callable[[int], int]
    wrap: Callable[[nn.Module], nn.Module]
    max_batch: int
    images_on_cpus: int
    smaller_batches: tuple[int, ...] = ()
    few: int
    most_compared: int | None = None
    fewest_noises: int
    compare: Callable[[Outputs, Outputs, Tolerance], Parity]
    count_compared: Callable[[Outputs, Tolerance], int]
    require_parity: Callable[[Outputs, Outputs, int, Tolerance], Parity]
    timing_batch: int
    calibration_images: int
    calibration_batch: int
    label_names: Callable[[ClassSet], tuple[str, ...]]
    read_images: Callable[[Dataset, Size], Images]
    read_labelled: Callable[[Dataset, Split, Size, Progress], tuple[Images, Any]]
    draw: Callable[[int, np.random.Generator, Size], Images]
    score: Callable[[Outputs, Any, tuple[str, ...]], float]
    measure: str
    max_loss: float
    evaluate: Callable[[Predictor, Dataset, Split, Path | None, Predictor | None, ProgressCallback], dict[str, Any]]
    rated_images: Callable[
        [Predictor, Dataset, Split, int, ProgressCallback], tuple[Images, str, Callable[[Images], float]]
    ]
    load_evaluation_set: Callable[[Dataset, Split, Mapping[Role, Entrant], float, ProgressCallback], EvaluationSet]
    min_score: float

    def fixed_batches(self, max_batch: int) -> tuple[int, ...]:
        """Returns the fixed batches of a file for GPUs, smallest first."""
        return (*(size for size in self.smaller_batches if size < max_batch), max_batch)

    def draw_samples(self, size: Size, count: int) -> Images:
        """Draws inputs of the network, uint8 [count, height, width, 3]; the same for the same arguments."""
        rng = np.random.default_rng(0)
        # Neighbours in this order look unlike each other.
        return np.stack([self.draw(number * 7 % len(GERMAN_SIGNS), rng, size) for number in range(count)])
