"""The four categories of GTSDB as ids: the benchmark scores the first three (Houben et al., IJCNN 2013)."""

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import CATEGORIES, NUM_CLASSES

CATEGORY_NAMES: tuple[str, ...] = tuple(CATEGORIES)

NUM_CATEGORIES = len(CATEGORY_NAMES)

BENCHMARK_CATEGORIES: tuple[str, ...] = ("prohibitory", "mandatory", "danger")

# int64 [43]: the category id of each class id.
CATEGORY_OF_CLASS: npt.NDArray[np.int64] = np.array(
    [
        next(position for position, name in enumerate(CATEGORY_NAMES) if class_id in CATEGORIES[name])
        for class_id in range(NUM_CLASSES)
    ],
    dtype=np.int64,
)
CATEGORY_OF_CLASS.setflags(write=False)  # shared by everything that imports it
