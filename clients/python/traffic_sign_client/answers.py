"""What is known of a sign, and how photographs and answers travel as tensors."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from traffic_sign_client.errors import RefusedError

Photograph = bytes | str | os.PathLike[str] | npt.NDArray[np.uint8]
RECOGNIZER_OUTPUTS = (
    "boxes",
    "detection_scores",
    "categories",
    "class_ids",
    "class_scores",
    "names",
)  # outputs of the recognizer


@dataclass(frozen=True)
class Prediction:
    """One class that a crop may show: its id, name and probability."""

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
    """A class that the served models tell apart.

    Attributes:
        class_id: its place among the classifier's probabilities, from 0 on.
        name: as the classifier's labels have it.
        category: what the detector takes such a sign for; empty where no served recognizer says it.
    """

    class_id: int
    name: str
    category: str = ""


@dataclass(frozen=True)
class Sign:
    """One sign of a photograph.

    Attributes:
        box: left, top, right, bottom in pixels of the photograph as people see it (turned as its EXIF says),
            exclusive on the right and bottom.
        score: how sure the detector is, 0 to 1.
        category: what kind of sign the detector sees: of the bundled one prohibitory, mandatory, danger or other.
        class_id: which of its classes the classifier sees; -1 where it is not sure enough of any.
        class_score: how sure it is of the most probable one, 0 to 1.
        name: of that class, or "unknown".
    """

    box: tuple[float, float, float, float]
    score: float
    category: str
    class_id: int
    class_score: float
    name: str

    @classmethod
    def read(cls, box: Any, score: Any, category: bytes, class_id: Any, class_score: Any, name: bytes) -> "Sign":
        """Reads what the outputs of RECOGNIZER_OUTPUTS hold of one sign."""
        left, top, right, bottom = (float(side) for side in box)
        sure = float(score), category.decode(), int(class_id), float(class_score), name.decode()
        return cls((left, top, right, bottom), *sure)


def encoded(photograph: Photograph) -> npt.NDArray[np.object_]:
    """Returns a photograph as the recognizer takes it: the bytes of an image file, object [1, 1].

    Args:
        photograph: those bytes, the path of such a file, or uint8 [height, width, 3], RGB, which is written as PPM:
            that loses nothing and needs no library.

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
