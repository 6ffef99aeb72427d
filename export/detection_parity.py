"""Does the exported detector find what the trained one finds? The counterpart of `export.parity` for boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from export.conversion import WithPeaks
from export.errors import ParityError
from export.parity import Images, Parity, batch_sizes, open_session, probe_names
from export.precision import FP32, TOLERANCES, Tolerance
from export.tensors import DETECTOR_OUTPUTS, SCENES
from training.detector import predict
from training.detector.detections import Detections

MOST_SCENES = 16  # that are compared; a scene is as much work as 500 crops
MAX_BATCH = 4  # scenes of 3.3 MB: more at once gain nothing; of the server, unless it was tuned
FEW = 3  # scenes of the batch between one and the largest
BATCHES = batch_sizes(MAX_BATCH, FEW)


@dataclass(frozen=True)
class Answers:
    """What a detector says of n scenes; see `training.models.detector.Found`."""

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    categories: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)

    def arrays(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Returns boxes, scores and categories, in the order of `export.tensors.DETECTOR_OUTPUTS`."""
        return self.boxes, self.scores, self.categories

    def part(self, start: int, stop: int) -> "Answers":
        """Returns what it says of some of the scenes."""
        return Answers(self.boxes[start:stop], self.scores[start:stop], self.categories[start:stop])

    def detections(self) -> list[Detections]:
        """Returns the signs of each scene that an evaluation looks at; labels are category ids."""
        found = []
        for boxes, scores, categories in zip(self.boxes, self.scores, self.categories, strict=True):
            # Cells beyond the edge of the scene have boxes that are nothing after they have been clipped to it.
            kept = (scores > predict.FLOOR) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
            found.append(Detections(boxes[kept], scores[kept], categories[kept].astype(np.int64)))
        return found


@dataclass(frozen=True)
class DetectionParity(Parity):
    """How far two implementations of one detector are apart.

    The differences are those of scores; a disagreement is a sign that only one of them finds.

    Attributes:
        max_box_difference: largest absolute difference of an edge in pixels.
    """

    max_box_difference: float


Detect = Callable[[Images], Answers]


def onnxruntime_detector(path: Path, device: str = "cpu") -> Detect:
    """Returns a function that runs an ONNX file in process, on the CPU or a GPU (cuda).

    Raises:
        ExportError: ONNX Runtime cannot load the file, or cannot run it on the device.
    """
    session = open_session(path, device)
    return lambda scenes: Answers(*session.run(list(DETECTOR_OUTPUTS), {SCENES: scenes}))


def pytorch_detector(model: nn.Module) -> Detect:
    """Returns a function that runs a detector in PyTorch, on the device where it is."""
    served, device = WithPeaks(model.eval()), next(model.parameters()).device

    def detect(scenes: Images) -> Answers:
        with torch.inference_mode():
            return Answers(*(each.cpu().numpy() for each in served(torch.from_numpy(scenes).to(device))))

    return detect


def require_same_signs(
    reference: Answers, candidate: Answers, real: int, tolerance: Tolerance = TOLERANCES[FP32]
) -> DetectionParity:
    """Compares what two implementations find in the same scenes, and refuses a difference that matters.

    Args:
        reference: what the trained model answers.
        candidate: what the exported model answers.
        real: how many of the scenes, from the first on, are real.
        tolerance: how far they may be apart.

    Raises:
        ParityError: a score or a box differs by more than the tolerance, or one finds too many signs that the other
            does not; the message says in which scenes.
    """
    judged = len(reference) if tolerance.invented else real
    parity, worst = compare_signs(reference.part(0, judged), candidate.part(0, judged), tolerance)
    signs, names = int((reference.scores[:judged] >= tolerance.floor).sum()), probe_names(real, len(reference))
    if (
        parity.disagreements > tolerance.changed * signs
        or not parity.max_difference <= tolerance.difference
        or not parity.max_box_difference <= tolerance.pixels
    ):
        raise ParityError(
            f"the exported detector differs from the trained one: scores by up to {parity.max_difference:.2g} "
            f"(allowed: {tolerance.difference:g}), boxes by up to {parity.max_box_difference:.2g} pixels (allowed: "
            f"{tolerance.pixels:g}), {parity.disagreements} signs found by one of them only (allowed: "
            f"{tolerance.changed:.1%} of {signs}); the farthest of {parity.samples} scenes are "
            f"{', '.join(names[scene] for scene in worst[:10])}"
        )
    return parity


def compare_signs(
    reference: Answers, candidate: Answers, tolerance: Tolerance = TOLERANCES[FP32]
) -> tuple[DetectionParity, list[int]]:
    """Compares what two implementations find in the same scenes.

    Returns:
        How far they are apart, and the numbers of the scenes where that is beyond the tolerance, the farthest first.
    """
    same = max(1.0, tolerance.pixels)  # boxes whose edges are this near are of one sign
    largest, edges, lost = np.zeros(len(reference)), np.zeros(len(reference)), np.zeros(len(reference), np.int64)
    differences: list[float] = []
    for scene in range(len(reference)):
        for mine, other in ((reference, candidate), (candidate, reference)):
            for sign in np.flatnonzero(~(mine.scores[scene] < tolerance.floor)):  # what is no number counts, too
                apart = np.abs(other.boxes[scene] - mine.boxes[scene][sign]).max(axis=1)
                apart[other.categories[scene] != mine.categories[scene][sign]] = np.inf
                nearest = int(np.argmin(np.nan_to_num(apart, nan=np.inf)))
                if not apart[nearest] <= same:
                    lost[scene] += 1
                    continue
                edges[scene] = max(edges[scene], apart[nearest])
                differences.append(float(abs(other.scores[scene][nearest] - mine.scores[scene][sign])))
                largest[scene] = max(largest[scene], differences[-1])
        # In a plain area neighbouring cells are equal but for rounding, which tosses which of them are peaks: what is
        # fainter than any sign that counts is made equal. A score that is no number stays one.
        scores = (np.sort(np.maximum(each.scores[scene], tolerance.floor)) for each in (reference, candidate))
        faint = float(np.abs(np.subtract(*scores)).max())
        largest[scene] = np.nan if np.isnan(faint) else max(largest[scene], faint)
    excess = lost + np.nan_to_num(largest, nan=np.inf) / tolerance.difference + edges / tolerance.pixels
    beyond = (lost > 0) | ~(largest <= tolerance.difference) | (edges > tolerance.pixels)
    worst = [int(scene) for scene in np.argsort(-excess, kind="stable") if beyond[scene]]
    parity = DetectionParity(
        samples=len(reference),
        max_difference=float(largest.max()),
        mean_difference=float(np.mean(differences)) if differences else 0.0,
        disagreements=int(lost.sum()),
        max_box_difference=float(edges.max()),
    )
    return parity, worst


def find_in_batches(
    detect: Detect,
    scenes: Images | Sequence[npt.NDArray[np.uint8]],
    progress: Callable[[int, int], None] = lambda done, total: None,
    sizes: Sequence[int] = BATCHES,
) -> Answers:
    """Runs a detector with batches of several sizes in turn, so that each is exercised.

    Args:
        detect: the detector.
        scenes: uint8 [height, width, 3] each, one at the least.
        progress: called with (scenes done, scenes in all).
        sizes: of the batches.
    """
    answers: list[Answers] = []
    start = 0
    while start < len(scenes):
        size = sizes[len(answers) % len(sizes)]
        answers.append(detect(np.stack([*scenes[start : start + size]])))
        start += size
        progress(min(start, len(scenes)), len(scenes))
    return Answers(*(np.concatenate(parts) for parts in zip(*(each.arrays() for each in answers), strict=True)))
