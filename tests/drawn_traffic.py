"""Traffic for the detector of red cells: streets in changing light, as a data set and as requests."""

import numpy as np
from PIL import Image

from tests.end_to_end.street import encode, street
from training.data.records import Dataset, Sample

SCENES = 60


def photograph(seed: int, light: float = 1.0) -> Image.Image:
    """Returns a street of none to three signs in a light of its own; `light` is a factor for all of them."""
    rng = np.random.default_rng(seed)
    cells = [(int(rng.integers(17)), int(rng.integers(10))) for _ in range(rng.integers(0, 4))]
    factor = light * rng.uniform(0.7, 1.1)
    return street(cells, seed=seed).point(lambda value: value * factor)


def drawn_traffic() -> Dataset:
    """Returns a data set of SCENES test scenes; no photograph of a higher seed is in it."""
    samples = tuple(Sample(f"{seed:05d}.bmp", "test", (), labelled=False) for seed in range(SCENES))
    return Dataset("gtsdb=drawn", samples, lambda sample: encode(photograph(int(sample.image[:5])), "BMP"))
