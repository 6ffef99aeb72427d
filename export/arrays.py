"""Inputs and outputs of a network: images in, named arrays out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]  # [n, height, width, 3], RGB
Outputs = Mapping[str, npt.NDArray[Any]]  # by name of the output, each [n, ...]


def join(parts: Sequence[Outputs]) -> Outputs:
    """Returns the outputs for several batches as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def select(outputs: Outputs, which: slice | npt.NDArray[np.int64]) -> Outputs:
    """Returns the outputs for some of the images."""
    return {name: values[which] for name, values in outputs.items()}


def spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Returns at most `most` of `count` positions, evenly spaced; all for 0."""
    return np.linspace(0, count - 1, min(most or count, count)).round().astype(np.int64)
