"""Splits of training crops without leakage: all crops of a track, or of a scene, stay together."""

import numpy as np
import numpy.typing as npt

from training.data.crops import Crops


def fold_indices(crops: Crops, folds: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Splits crops into folds for cross-validation.

    Returns:
        For each fold, the indices of its crops; each crop is in exactly one fold.

    Raises:
        ValueError: `folds` is below 2 or above the number of tracks or images.
    """
    sources = sorted(set(crops.sources))
    if not 2 <= folds <= len(sources):
        raise ValueError(f"{folds} folds of {len(sources)} images: choose 2 or more, at most one an image")
    order = np.random.default_rng(seed).permutation(len(sources))
    fold_of = {sources[source]: position % folds for position, source in enumerate(order)}
    folds_by_crop = np.array([fold_of[source] for source in crops.sources])
    return [np.flatnonzero(folds_by_crop == fold) for fold in range(folds)]


def holdout_indices(crops: Crops, share: float, seed: int) -> npt.NDArray[np.int64]:
    """Chooses crops to hold out, about `share` of every class.

    No class loses more than its share of tracks or images, and a class with few of them loses none.

    Args:
        crops: the training crops.
        share: above 0 and below 1.
        seed: seed of the random choice.

    Returns:
        Their indices, ascending; empty if every class has too few tracks.
    """
    classes_of: dict[str, set[int]] = {}
    for source, class_id in zip(crops.sources, crops.class_ids, strict=True):
        classes_of.setdefault(source, set()).add(int(class_id))
    room = np.zeros(int(crops.class_ids.max()) + 1)
    for found in classes_of.values():
        room[list(found)] += share
    held: set[str] = set()
    sources = sorted(classes_of)
    for position in np.random.default_rng(seed).permutation(len(sources)):
        class_ids = list(classes_of[sources[position]])
        if (room[class_ids] >= 1).all():
            room[class_ids] -= 1
            held.add(sources[position])
    return np.flatnonzero([source in held for source in crops.sources])
