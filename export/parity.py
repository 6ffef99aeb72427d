"""Parity of the exported with the trained network: the images for both, and the batches; kinds compare the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from export.arrays import Images, Outputs, join

EXTREMES = ("black", "white", "checkerboard", "red", "green", "blue")


@dataclass(frozen=True)
class Parity:
    """How far two implementations of one network are apart."""

    samples: int
    max_difference: float  # largest absolute difference of a probability or score
    mean_difference: float
    disagreements: int  # images that get another class, or signs that only one of the two finds


def probe_images(real: Images, noises: int = 16) -> Images:
    """Returns the real images, [n, h, w, 3], then noise, then EXTREMES; `probe_names` names them."""
    height, width = real.shape[1:3]
    size = (height, width, 3)
    noise = np.random.default_rng(0).integers(0, 256, (noises, *size), dtype=np.uint8)
    checker = (np.indices((height, width)).sum(axis=0) % 2 * 255).astype(np.uint8)
    extreme = np.stack(
        [
            np.zeros(size, np.uint8),
            np.full(size, 255, np.uint8),
            np.repeat(checker[..., None], 3, axis=2),
            *(np.full(size, color, np.uint8) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))),
        ]
    )
    return np.concatenate([real, noise, extreme])


def probe_names(real: int, count: int) -> list[str]:
    """Returns a name for each image of `probe_images`: `real image 3`, `noise 0`, `black`."""
    noises = range(count - real - len(EXTREMES))
    return [*(f"real image {each}" for each in range(real)), *(f"noise {each}" for each in noises), *EXTREMES][:count]


def batch_sizes(largest: int, few: int) -> tuple[int, ...]:
    """Returns the batches that parity is checked in, smallest first: one image, a few, the largest that is served."""
    return tuple(sorted({1, min(few, largest), largest}))


def noises_for(sizes: Sequence[int], real: int, fewest: int) -> int:
    """Returns how many images of noise fill, with the real ones, a batch of each size."""
    return max(fewest, sum(sizes) - real - len(EXTREMES))


def predict_in_batches(
    predict: Callable[[Images], Outputs],
    images: Images | Sequence[Images],
    sizes: Sequence[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outputs:
    """Runs a network with batches of these sizes in turn.

    Args:
        images: uint8 [height, width, 3] each, one at least.
        progress: called with (images done, images in all).
    """
    parts: list[Outputs] = []
    start = 0
    while start < len(images):
        size = sizes[len(parts) % len(sizes)]
        parts.append(predict(np.stack([*images[start : start + size]])))
        start = min(start + size, len(images))
        progress(start, len(images))
    return join(parts)
