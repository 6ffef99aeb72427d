"""The four categories of GTSDB as ids: the benchmark scores the first three (Houben et al., IJCNN 2013)."""

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import GERMAN_SIGNS

CATEGORY_NAMES = GERMAN_SIGNS.category_names

BENCHMARK_CATEGORIES: tuple[str, ...] = ("prohibitory", "mandatory", "danger")

# int64 [43]: the category id of each class id.
CATEGORY_OF_CLASS: npt.NDArray[np.int64] = np.array(GERMAN_SIGNS.categories, dtype=np.int64)
CATEGORY_OF_CLASS.setflags(write=False)  # shared by everything that imports it
