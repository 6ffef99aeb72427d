"""The 43 classes that GTSDB and GTSRB share, in the order of their class ids.

Names follow the benchmark's own ReadMe; categories are those that the GTSDB competition scored
(Houben et al., IJCNN 2013, doi 10.1109/IJCNN.2013.6706807). Other data sets bring a `ClassSet` of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ClassSet:
    """The classes of a data set, in the order of their ids, and the categories that a detector distinguishes."""

    names: tuple[str, ...]
    category_names: tuple[str, ...]
    categories: tuple[int, ...]  # the category id of each class

    @classmethod
    def of(cls, names: Sequence[str], categories: Sequence[str] = ()) -> "ClassSet":
        """Builds a class set; without the category of each class, each is a category of its own."""
        categories = categories or names
        known = tuple(dict.fromkeys(categories))
        return cls(tuple(names), known, tuple(known.index(each) for each in categories))

    def __len__(self) -> int:
        return len(self.names)

    def labels(self, class_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the category ids of class ids, both int64 [n]."""
        return np.array(self.categories, np.int64)[class_ids]


CLASS_NAMES: tuple[str, ...] = (
    "speed limit 20",
    "speed limit 30",
    "speed limit 50",
    "speed limit 60",
    "speed limit 70",
    "speed limit 80",
    "end of speed limit 80",
    "speed limit 100",
    "speed limit 120",
    "no overtaking",
    "no overtaking by lorries",
    "priority at next crossing",
    "priority road",
    "give way",
    "stop",
    "no vehicles",
    "no lorries",
    "no entry",
    "danger",
    "bend left",
    "bend right",
    "double bend",
    "uneven road",
    "slippery road",
    "road narrows",
    "road works",
    "traffic signals",
    "pedestrians",
    "children",
    "cyclists",
    "snow",
    "wild animals",
    "end of all limits",
    "turn right ahead",
    "turn left ahead",
    "straight only",
    "straight or right",
    "straight or left",
    "keep right",
    "keep left",
    "roundabout",
    "end of no overtaking",
    "end of no overtaking by lorries",
)

NUM_CLASSES = len(CLASS_NAMES)

CATEGORIES: dict[str, frozenset[int]] = {
    "prohibitory": frozenset({*range(6), *range(7, 11), 15, 16}),
    "mandatory": frozenset(range(33, 41)),
    "danger": frozenset({11, *range(18, 32)}),
    "other": frozenset({6, 12, 13, 14, 17, 32, 41, 42}),
}

BENCHMARK_CATEGORIES: tuple[str, ...] = ("prohibitory", "mandatory", "danger")  # which GTSDB's competition scored

GERMAN_SIGNS = ClassSet(
    names=CLASS_NAMES,
    category_names=tuple(CATEGORIES),
    categories=tuple(
        next(position for position, members in enumerate(CATEGORIES.values()) if class_id in members)
        for class_id in range(NUM_CLASSES)
    ),
)
