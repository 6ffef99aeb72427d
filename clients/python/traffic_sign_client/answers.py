"""The answers, and photographs as tensors."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from traffic_sign_client.errors import RefusedError

Photograph = bytes | str | os.PathLike[str] | npt.NDArray[np.uint8]
RECOGNIZER_OUTPUTS = ("boxes", "detection_scores", "categories", "class_ids", "class_scores", "names")


@dataclass(frozen=True)
class Prediction:
    """A class that a crop may show: its id, name and probability."""

    class_id: int
    name: str
    score: float

    @classmethod
    def read(cls, entry: bytes) -> "Prediction":
        """Reads an answer of Triton's classification extension: `score:index:label`."""
        score, index, *label = entry.decode().split(":", 2)
        return cls(int(index), label[0] if label else index, float(score))


@dataclass(frozen=True)
class SignClass:
    """A class of the served models."""

    class_id: int  # its index in the classifier's probabilities
    name: str  # its label in the classifier
    category: str = ""  # the detector's category of it; empty if no served recognizer has one


@dataclass(frozen=True)
class Sign:
    """One sign of a photograph."""

    # Left, top, right, bottom in pixels of the upright photograph, exclusive on the right and bottom.
    box: tuple[float, float, float, float]
    score: float  # the detector's score, 0 to 1
    category: str  # the detector's category; of the bundled one prohibitory, mandatory, danger or other
    class_id: int  # the most probable class; -1 if its score is too low
    class_score: float  # the classifier's probability of the most probable class
    name: str  # name of the class, or "unknown"

    @classmethod
    def read(cls, box: Any, score: Any, category: bytes, class_id: Any, class_score: Any, name: bytes) -> "Sign":
        """Reads one sign of RECOGNIZER_OUTPUTS."""
        left, top, right, bottom = (float(side) for side in box)
        sure = float(score), category.decode(), int(class_id), float(class_score), name.decode()
        return cls((left, top, right, bottom), *sure)


def encoded(photograph: Photograph) -> npt.NDArray[np.object_]:
    """Returns the recognizer's input: the bytes of an image file, object [1, 1].

    Args:
        photograph: these bytes, the path of a file, or uint8 [height, width, 3], RGB, which is encoded as PPM.

    Raises:
        RefusedError: the file cannot be read, or the array has another shape or type.
    """
    if isinstance(photograph, np.ndarray):
        if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3 or not photograph.size:
            given = f"{photograph.dtype} {list(photograph.shape)}"
            raise RefusedError(f"a photograph is uint8 [height, width, 3], RGB, and not {given}")
        photograph = b"P6 %d %d 255\n" % photograph.shape[1::-1] + photograph.tobytes()
    elif not isinstance(photograph, bytes):
        path = Path(photograph)
        try:
            photograph = path.read_bytes()
        except OSError as error:
            raise RefusedError(f"{path} cannot be read: {error.strerror}") from error
    values = np.empty((1, 1), dtype=np.object_)
    values[0, 0] = photograph
    return values
