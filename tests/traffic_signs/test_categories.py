"""Tests of the four categories as ids."""

import numpy as np
import pytest

from traffic_signs.categories import BENCHMARK_CATEGORIES, CATEGORY_NAMES, CATEGORY_OF_CLASS


def test_categories_stand_in_the_order_of_their_ids() -> None:
    assert CATEGORY_NAMES == ("prohibitory", "mandatory", "danger", "other")


def test_the_benchmark_scores_all_but_the_last() -> None:
    assert CATEGORY_NAMES[:3] == BENCHMARK_CATEGORIES


def test_every_class_has_the_category_of_the_benchmark() -> None:
    assert CATEGORY_OF_CLASS.dtype == np.int64
    assert [np.flatnonzero(category == CATEGORY_OF_CLASS).tolist() for category in range(4)] == [
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16],
        [33, 34, 35, 36, 37, 38, 39, 40],
        [11, *range(18, 32)],
        [6, 12, 13, 14, 17, 32, 41, 42],
    ]


def test_nobody_can_change_the_shared_mapping() -> None:
    with pytest.raises(ValueError, match="read-only"):
        CATEGORY_OF_CLASS[0] = 3
