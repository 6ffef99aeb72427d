"""Tracks of a training split that show signs of a test split: GTSRB and GTSDB were filmed on the same drives.

A network that learned from such a track has seen the test sign: leave the track out before you judge.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.data.crops import Crops

THRESHOLD = 0.98
THUMBNAIL_SIDE = 12
BLOCK = 1024  # test crops that are compared at a time with all training crops of their class: bounds the memory


@dataclass(frozen=True)
class Repeat:
    """A test crop and the crop of one training track that is most like it.

    Attributes:
        train: index into the training crops.
        test: index into the test crops.
        correlation: Pearson's, above the threshold.
    """

    train: int
    test: int
    correlation: float


@dataclass(frozen=True)
class Leakage:
    """What of a training split stands in a test split as well.

    Attributes:
        tracks: the sources of the training crops that hold a repeat, sorted; all crops of them are to be left out.
        repeats: one for each test crop and track, the most alike first.
    """

    tracks: tuple[str, ...]
    repeats: tuple[Repeat, ...]


def leaked_tracks(train: Crops, test: Crops, threshold: float = THRESHOLD) -> Leakage:
    """Finds the tracks of `train` that hold a crop like a crop of the same class in `test`.

    Likeness is Pearson's correlation over all pixels and channels in RGB, averaged down to 12x12 pixels. This was
    chosen on 924 signs of GTSDB and the training crops of GTSRB. A sign of GTSDB stands in one track, seldom in two:
    the second most alike track of its class shows how alike a mere look-alike gets. With the threshold where 5 of
    the 924 second tracks pass, the first passes for 224 signs in RGB at 12x12, for 186 at 24x24, for 163 at 48x48,
    and for 183 in grey at 12x12; coarser still gains little (232 at 8x8). In full size, a box that is one pixel off
    spoils the match of the very same frame; in grey, the ground behind a sign tells less.

    Above 0.98 nearly every pair of these two is the same sign to the eye: stickers, plates, twigs and blown-out
    corners agree. The few that are not show dark signs before a plain sky. The list is not complete: from 0.97 to
    0.98 most pairs are repeats, too, among more look-alikes.

    Args:
        train: crops of the training split.
        test: crops of the test split, cut as those are.
        threshold: pairs above this correlation are repeats.
    """
    names, track_of = np.unique(np.asarray(train.sources, dtype=np.str_), return_inverse=True)
    train_hits, test_hits, correlations = _pairs_above(threshold, train, test)
    order = np.argsort(-correlations, kind="stable")
    # The most alike comes first, so that the first of each test crop and track is the best of them.
    _, firsts = np.unique(test_hits[order] * len(names) + track_of[train_hits[order]], return_index=True)
    best = order[np.sort(firsts)]
    return Leakage(
        tracks=tuple(names[np.unique(track_of[train_hits])].tolist()),
        repeats=tuple(
            Repeat(int(train_hits[pair]), int(test_hits[pair]), float(correlations[pair])) for pair in best.tolist()
        ),
    )


def _pairs_above(
    threshold: float, train: Crops, test: Crops
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Returns the training index, the test index and the correlation of every pair of one class above `threshold`."""
    train_hits, test_hits = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    correlations = [np.zeros(0, np.float32)]
    for class_id in np.intersect1d(train.class_ids, test.class_ids):
        of_train = np.flatnonzero(train.class_ids == class_id)
        of_test = np.flatnonzero(test.class_ids == class_id)
        known = _unit_vectors(train.images[of_train])
        for start in range(0, len(of_test), BLOCK):
            block = of_test[start : start + BLOCK]
            table = _unit_vectors(test.images[block]) @ known.T
            rows, columns = np.nonzero(table > threshold)
            train_hits.append(of_train[columns])
            test_hits.append(block[rows])
            correlations.append(table[rows, columns])
    return np.concatenate(train_hits), np.concatenate(test_hits), np.concatenate(correlations)


def _unit_vectors(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns thumbnails as float32 [n, 432] whose dot products are Pearson's correlations.

    A crop of one colour becomes zero: it is like nothing.
    """
    vectors = np.empty((len(images), THUMBNAIL_SIDE**2 * 3), np.float32)
    for index, image in enumerate(images):
        # As floats, since the mean of a dark crop's few grey levels must not be rounded.
        small = cv2.resize(image.astype(np.float32), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
        vectors[index] = small.ravel()
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[lengths[:, 0] < 1e-2] = 0
    vectors /= np.maximum(lengths, 1e-2)
    return vectors
