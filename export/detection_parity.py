"""Does the exported detector find what the trained one finds? The counterpart of `export.parity` for boxes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.conversion import FOUND, SCENES, WithPeaks
from export.errors import ParityError
from export.parity import Images, Parity, open_session, probe_images

SCORE_TOLERANCE = 1e-4  # fp32: two correct orders of summation differ by less
BOX_TOLERANCE = 0.05  # pixels, likewise
FLOOR = 0.05  # below, no one looks: which of the faintest peaks are among the 100 is a toss
MAX_BATCH = 4  # scenes of 3.3 MB: more at once gain nothing
BATCHES = (1, 3, MAX_BATCH)


@dataclass(frozen=True)
class Answers:
    """What a detector says of n scenes; see `training.models.detector.Found`."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class DetectionParity(Parity):
    """How far two implementations of one detector are apart.

    The differences are those of scores; a disagreement is a sign that only one of them finds.

    Attributes:
        max_box_difference: largest absolute difference of an edge in pixels.
    """

    max_box_difference: float


Detect = Callable[[Images], Answers]


def onnxruntime_detector(path: Path) -> Detect:
    """Returns a function that runs an ONNX file in process, on the CPU.

    Raises:
        ExportError: ONNX Runtime cannot load the file.
    """
    session = open_session(path)
    return lambda scenes: Answers(*session.run(list(FOUND), {SCENES: scenes}))


def pytorch_detector(model: nn.Module) -> Detect:
    """Returns a function that runs a detector in PyTorch."""
    served = WithPeaks(model.eval())

    def detect(scenes: Images) -> Answers:
        with torch.inference_mode():
            return Answers(*(each.numpy() for each in served(torch.from_numpy(scenes))))

    return detect


def require_same_signs(reference: Detect, candidate: Detect, real: Images) -> DetectionParity:
    """Compares two implementations on real, random and extreme scenes, and refuses a difference that matters.

    Args:
        reference: the trained model.
        candidate: the exported model.
        real: uint8 [n, height, width, 3]; n may be 0.

    Raises:
        ParityError: a score or a box differs by more than the tolerance, or one finds a sign that the other does not.
    """
    scenes = probe_images(real, noises=2)
    pairs = [(reference(batch), candidate(batch)) for batch in _in_batches(scenes)]
    first, second = (_joined(list(answers)) for answers in zip(*pairs, strict=True))
    parity, worst = compare_signs(first, second)
    if (
        parity.disagreements
        or not parity.max_difference <= SCORE_TOLERANCE
        or not parity.max_box_difference <= BOX_TOLERANCE
    ):
        raise ParityError(
            f"the exported detector differs from the trained one: scores by up to {parity.max_difference:.2g} "
            f"(allowed: {SCORE_TOLERANCE:g}), boxes by up to {parity.max_box_difference:.2g} pixels (allowed: "
            f"{BOX_TOLERANCE:g}), {parity.disagreements} signs found by one of them only; worst on image {worst} of "
            f"{parity.samples} ({len(real)} real ones come first). Nothing was published"
        )
    return parity


def compare_signs(reference: Answers, candidate: Answers) -> tuple[DetectionParity, int]:
    """Compares what two implementations find in the same scenes.

    Returns:
        How far they are apart, and the number of the scene where they are farthest.
    """
    largest, edges, lost = np.zeros(len(reference)), np.zeros(len(reference)), np.zeros(len(reference), np.int64)
    differences: list[float] = []
    for scene in range(len(reference)):
        for mine, other in ((reference, candidate), (candidate, reference)):
            for sign in np.flatnonzero(~(mine.scores[scene] < FLOOR)):  # what is no number counts, too
                apart = np.abs(other.boxes[scene] - mine.boxes[scene][sign]).max(axis=1)
                apart[other.categories[scene] != mine.categories[scene][sign]] = np.inf
                nearest = int(np.argmin(np.nan_to_num(apart, nan=np.inf)))
                if not apart[nearest] <= 1.0:
                    lost[scene] += 1
                    continue
                edges[scene] = max(edges[scene], apart[nearest])
                differences.append(float(abs(other.scores[scene][nearest] - mine.scores[scene][sign])))
                largest[scene] = max(largest[scene], differences[-1])
        faint = float(np.abs(np.sort(reference.scores[scene]) - np.sort(candidate.scores[scene])).max())
        largest[scene] = np.nan if np.isnan(faint) else max(largest[scene], faint)
    worst = int(np.argmax(np.nan_to_num(lost + largest / SCORE_TOLERANCE + edges / BOX_TOLERANCE, nan=np.inf)))
    parity = DetectionParity(
        samples=len(reference),
        max_difference=float(largest.max()),
        mean_difference=float(np.mean(differences)) if differences else 0.0,
        disagreements=int(lost.sum()),
        max_box_difference=float(edges.max()),
    )
    return parity, worst


def _in_batches(scenes: Images) -> Iterator[Images]:
    start = 0
    for step in range(len(scenes)):
        if start >= len(scenes):
            return
        size = BATCHES[step % len(BATCHES)]
        yield scenes[start : start + size]
        start += size


def _joined(answers: list[Answers]) -> Answers:
    return Answers(
        np.concatenate([each.boxes for each in answers]),
        np.concatenate([each.scores for each in answers]),
        np.concatenate([each.categories for each in answers]),
    )
