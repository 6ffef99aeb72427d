"""What differs between kinds of networks, and the two interfaces that this takes: `Predictor` and `EvaluationSet`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

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
    """A tensor of a network."""

    name: str
    datatype: str  # as Triton's protocol names it
    shape: tuple[int | None, ...]  # without the batch; None is a size that differs between networks
    labelled: bool = False  # whether the lines of labels.txt name its values


class Predictor(ABC):
    """A network that is ready to answer, wherever it runs, until its block ends."""

    kind: ModelKind
    backend: str  # who answers: pytorch or onnxruntime, with _cuda on a GPU, triton_grpc or triton_http
    size: Size  # height and width of the input in pixels
    max_batch: int  # most images at once; more are answered in parts
    trained_on: dict[str, str]  # what is known of its training data

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
    """The evaluation set of the gate, in memory, for one or two versions."""

    data: dict[str, Any]  # `name`, `split`, `fingerprint` and number of `signs`
    images: dict[Role, Images]  # some of its images as each version takes them, uint8 [n, height, width, 3]

    @abstractmethod
    def evaluate(
        self, versions: Mapping[Role, Predictor], limits: GateLimits, progress: ProgressCallback
    ) -> list[Finding]:
        """Runs both versions on the set and returns the findings of the rules for this kind of network.

        Raises:
            UnusableError: the challenger gives no answers, or impossible ones.
            ClientError: the champion gives none.
        """


class Rating(NamedTuple):
    """How a model does on labelled images."""

    figure: float
    scores: npt.NDArray[np.float32] | None = None  # float32 [n], the highest class score of each; None of a detector


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """A kind of network. Everything else in export is the same for all of them."""

    name: str  # of the model, in checkpoints, in the repository and on the server
    images: str  # what the network looks at, for messages: crops or scenes
    takes_scenes: bool  # whether it needs data with whole scenes
    input: TensorSpec  # its only input, images of [height, width, 3]
    outputs: tuple[TensorSpec, ...]  # in the order in which the wrapped network returns them
    # Maps the number of classes to the size that None stands for in the shapes of `outputs`.
    open_size: Callable[[int], int]
    # Turns a checkpoint's network into the module that is served, with these outputs.
    wrap: Callable[[nn.Module], nn.Module]
    max_batch: int  # largest batch that is served, unless the model was tuned
    images_on_cpus: int  # images that all instances on CPUs share before one of them takes a larger batch
    smaller_batches: tuple[int, ...] = ()  # of the file for GPUs, besides the largest
    few: int  # size of the batch between one and the largest for parity
    most_compared: int | None = None  # real images for parity; None for all
    fewest_noises: int  # random images for parity, at least
    compare: Callable[[Outputs, Outputs, Tolerance], Parity]  # returns the differences between two implementations
    # Number of items of the first one that `compare` counts disagreements in.
    count_compared: Callable[[Outputs, Tolerance], int]
    # Compares the trained network with the exported one, and raises ParityError beyond the tolerance; the number is
    # that of real images, which come first.
    require_parity: Callable[[Outputs, Outputs, int, Tolerance], Parity]
    timing_batch: int  # images at once when precisions are timed
    calibration_images: int  # training images for the ranges of int8
    calibration_batch: int  # of these at once: what fits into memory with all activations
    # The names of a data set's classes that the network distinguishes, by id.
    label_names: Callable[[ClassSet], tuple[str, ...]]
    # Reads test images of a data set for parity, uint8 [n, height, width, 3].
    read_images: Callable[[Dataset, Size], Images]
    # Reads all labelled images of a split, and their labels.
    read_labelled: Callable[[Dataset, Split, Size, Progress], tuple[Images, Any]]
    draw: Callable[[int, np.random.Generator, Size], Images]  # draws one image with a sign, uint8 [height, width, 3]
    # The figure `measure` of a network for labels and their names.
    score: Callable[[Outputs, Any, tuple[str, ...]], float]
    measure: str  # its name in manifests
    max_loss: float  # largest loss of it against fp32 that is published by default
    # Returns the figures of `signs evaluate`, and writes them into a folder if there is one; a classifier can name the
    # signs of scenes.
    evaluate: Callable[[Predictor, Dataset, Split, Path | None, Predictor | None, ProgressCallback], dict[str, Any]]
    # Reads at most so many labelled images of a split, all for 0; returns them, the name of a figure, and the function
    # that measures it on altered copies.
    rated_images: Callable[
        [Predictor, Dataset, Split, int, ProgressCallback], tuple[Images, str, Callable[[Images], Rating]]
    ]
    # Reads the evaluation set of the gate for these versions, with the lowest score of a detection that counts.
    load_evaluation_set: Callable[[Dataset, Split, Mapping[Role, Entrant], float, ProgressCallback], EvaluationSet]
    min_score: float  # default limit of the gate for a first champion

    def fixed_batches(self, max_batch: int) -> tuple[int, ...]:
        """Returns the fixed batches of a file for GPUs, smallest first."""
        return (*(size for size in self.smaller_batches if size < max_batch), max_batch)

    def draw_samples(self, size: Size, count: int) -> Images:
        """Draws inputs of the network, uint8 [count, height, width, 3]; the same for the same arguments."""
        rng = np.random.default_rng(0)
        # Neighbours in this order look unlike each other.
        return np.stack([self.draw(number * 7 % len(GERMAN_SIGNS), rng, size) for number in range(count)])
