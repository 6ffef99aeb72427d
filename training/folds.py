"""Splits of training examples without leakage: all examples of one source, a track or an image, stay together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.data.crops import Crops
from training.errors import TrainingError

MIN_SOURCES_FOR_HOLDOUT = 5  # tracks or images of a class


def deal_folds(sources: Sequence[Any], folds: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Splits examples at random into folds of nearly equally many sources.

    `sources` are the track or image of each example. Returns for each fold the indices of its examples, ascending; each
    example is in exactly one fold. Raises TrainingError if there are fewer sources than folds.
    """
    names = sorted(set(sources))
    if not 2 <= folds <= len(names):
        raise TrainingError(
            f"the data has {len(names)} tracks or images, which cannot be divided into {folds} parts: give more data "
            "(drawings beside photographs do not count), fewer --folds, or a --holdout that is larger or 0"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[name]: position % folds for position, name in enumerate(order)}
    folds_by_example = np.array([fold_of[source] for source in sources])
    return [np.flatnonzero(folds_by_example == fold) for fold in range(folds)]


def holdout_indices(crops: Crops, share: float, seed: int, one_each: bool = False) -> npt.NDArray[np.int64]:
    """Chooses crops to hold out, about `share` of every class.

    No class loses more than its share of tracks or images, and a class with few of them loses none. With `one_each`, a
    class with at least MIN_SOURCES_FOR_HOLDOUT of them loses one, also if that is more than its share.

    Returns their indices, ascending; empty if every class has too few tracks.
    """
    classes_of = _classes_by_source(crops)
    counts = sources_per_class(crops, int(crops.class_ids.max()) + 1)
    room = np.floor(share * counts + 1e-9)  # 0.29 of 100 is 28.999...
    if one_each:
        room = np.maximum(room, counts >= MIN_SOURCES_FOR_HOLDOUT)
    held: set[str] = set()
    sources = sorted(classes_of)
    for position in np.random.default_rng(seed).permutation(len(sources)):
        class_ids = list(classes_of[sources[position]])
        if (room[class_ids] >= 1).all():
            room[class_ids] -= 1
            held.add(sources[position])
    return np.flatnonzero([source in held for source in crops.sources])


def sources_per_class(crops: Crops, class_count: int) -> npt.NDArray[np.int64]:
    """Returns the number of tracks or images that show each class, int64 [classes]."""
    shown = [class_id for class_ids in _classes_by_source(crops).values() for class_id in class_ids]
    return np.bincount(np.array(shown, np.int64), minlength=class_count)


def _classes_by_source(crops: Crops) -> dict[str, set[int]]:
    classes_of: dict[str, set[int]] = {}
    for source, class_id in zip(crops.sources, crops.class_ids, strict=True):
        classes_of.setdefault(source, set()).add(int(class_id))
    return classes_of
