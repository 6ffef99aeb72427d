"""Finds leakage: tracks of a training split that show signs of a test split.

GTSRB and GTSDB were filmed on the same drives. A network that has learned from such a track has seen the test sign, so
leave the track out before evaluating.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.data.crops import Crops

THRESHOLD = 0.98
THUMBNAIL_SIDE = 12
BLOCK = 1024  # test crops per comparison with all training crops of their class; limits the memory


@dataclass(frozen=True)
class Repeat:
    """A test crop and the most similar crop of one training track."""

    train: int  # index into the training crops
    test: int  # index into the test crops
    correlation: float  # Pearson correlation, above the threshold


@dataclass(frozen=True)
class Leakage:
    """The leakage from a test split to a training split."""

    tracks: tuple[str, ...]  # sources of the training crops that repeat a test crop, sorted; leave out all their crops
    repeats: tuple[Repeat, ...]  # one for each pair of test crop and track, by descending correlation


def leaked_tracks(train: Crops, test: Crops, threshold: float = THRESHOLD) -> Leakage:
    """Finds the tracks of `train` with a crop similar to a crop of the same class in `test`.

    The similarity is the Pearson correlation over all pixels and channels in RGB, averaged down to 12x12 pixels. It was
    chosen on 924 signs of GTSDB and the training crops of GTSRB. A sign of GTSDB is rarely in more than one track, so
    the second most similar track of its class is a different sign. With the threshold that 5 of the 924 second tracks
    pass, the first track passes for 224 signs at 12x12 in RGB, 186 at 24x24, 163 at 48x48, 232 at 8x8, and 183 at 12x12
    in grey. In full size a box that is one pixel off lowers the correlation of the same frame.

    Above 0.98 nearly every pair shows the same sign: stickers, plates, twigs and overexposed corners agree. The few
    others show dark signs before a plain sky. From 0.97 to 0.98 most pairs are repeats, too, so the result is not
    complete.

    Both splits have crops of the same size and margin. Pairs with a correlation above `threshold` are repeats.
    """
    names, track_of = np.unique(np.asarray(train.sources, dtype=np.str_), return_inverse=True)
    train_hits, test_hits, correlations = _pairs_above(threshold, train, test)
    order = np.argsort(-correlations, kind="stable")
    # By descending correlation, so that the first of each test crop and track is the best.
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
    """Returns training index, test index and correlation of every pair of the same class above `threshold`."""
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
    """Returns thumbnails as float32 [n, 432] whose dot products are Pearson correlations; zero for a plain crop."""
    vectors = np.empty((len(images), THUMBNAIL_SIDE**2 * 3), np.float32)
    for index, image in enumerate(images):
        # As floats: rounding would matter for a dark crop with few grey levels.
        small = cv2.resize(image.astype(np.float32), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
        vectors[index] = small.ravel()
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[lengths[:, 0] < 1e-2] = 0
    vectors /= np.maximum(lengths, 1e-2)
    return vectors
