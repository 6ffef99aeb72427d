"""Reads a photograph for the recognizer: decodes it, fits it to the detector, measures brightness and sharpness."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from .preprocessing import FORMATS, MAX_PIXELS, FittedScene, decode, fit_scene

# Pixels on the long side. A larger value shows a blur of one pixel better, a smaller one depends less on the camera's
# resolution.
SHARPNESS_SIDE = 480

Job = TypeVar("Job")


@dataclass(frozen=True)
class Scene:
    """One photograph, ready for the detector."""

    photograph: Image.Image  # RGB, full resolution, upright; crops are cut from it
    fitted: FittedScene  # the detector's input
    brightness: float  # mean luma, 0 to 255
    sharpness: float  # variance of the Laplacian, see `measure_sharpness`


def read_scene(data: bytes, height: int, width: int) -> Scene:
    """Decodes a photograph and fits it into a detector's input of `height` and `width` pixels.

    Raises:
        ImageError: the bytes cannot be decoded.
    """
    return see_scene(decode(data), height, width)


def see_scene(photograph: Image.Image, height: int, width: int) -> Scene:
    """Fits a decoded photograph, RGB, into a detector's input of `height` and `width` pixels and measures it."""
    fitted = fit_scene(photograph, height, width)
    across, down = fitted.content
    # Luma as ITU-R BT.601 defines it, and Pillow's "L": 0.299 R + 0.587 G + 0.114 B.
    luma = Image.fromarray(fitted.pixels[:down, :across]).convert("L")
    return Scene(photograph, fitted, float(np.asarray(luma).mean()), measure_sharpness(luma))


def measure_sharpness(luma: Image.Image) -> float:
    """Returns the variance of the Laplacian: large for a sharp picture, small for a blurred or foggy one.

    This is the focus measure of Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative
    study", ICPR 2000, with the kernel of four neighbours. The picture is first scaled to SHARPNESS_SIDE pixels on its
    long side, so that a camera with more pixels does not look blurred.

    Args:
        luma: mode "L".
    """
    factor = SHARPNESS_SIDE / max(luma.size)
    size = (max(1, round(luma.width * factor)), max(1, round(luma.height * factor)))
    values = np.asarray(luma.resize(size, Image.Resampling.BILINEAR), dtype=np.int16)
    if min(values.shape) < 3:
        return 0.0  # without inner pixels there is no Laplacian
    inner = 4 * values[1:-1, 1:-1]
    laplacian: npt.NDArray[np.int16] = (
        inner - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]
    )
    return float(laplacian.var(dtype=np.float64))


def claimed_pixels(data: bytes) -> int:
    """Returns the number of pixels in an image's header, without decoding it; 0 if the header is unreadable."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.width * image.height
    except Exception:  # `decode` reports the problem
        return 0


def in_groups(jobs: Sequence[Job], pixels: Callable[[Job], int], most: int = MAX_PIXELS) -> Iterator[list[Job]]:
    """Divides jobs, in order, into groups of at most `most` pixels, so that a batch of huge images fits in memory.

    Ordinary photographs form one group; one with more than `most` pixels forms its own.
    """
    group: list[Job] = []
    total = 0
    for job in jobs:
        size = pixels(job)
        if group and total + size > most:
            yield group
            group, total = [], 0
        group.append(job)
        total += size
    if group:
        yield group
