"""Tests of the table of classes."""

import numpy as np

from traffic_signs.classes import BENCHMARK_CATEGORIES, CATEGORIES, CLASS_NAMES, GERMAN_SIGNS, NUM_CLASSES


def test_there_are_43_classes_with_names_of_their_own() -> None:
    assert NUM_CLASSES == len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 43


def test_categories_hold_every_class_once() -> None:
    assert sorted(class_id for ids in CATEGORIES.values() for class_id in ids) == list(range(43))


def test_categories_are_those_of_the_competition() -> None:
    assert {name: sorted(ids) for name, ids in CATEGORIES.items()} == {
        "prohibitory": [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16],
        "mandatory": [33, 34, 35, 36, 37, 38, 39, 40],
        "danger": [11, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31],
        "other": [6, 12, 13, 14, 17, 32, 41, 42],
    }


def test_labels_are_ids_of_categories_and_the_competition_scores_all_but_the_last() -> None:
    assert GERMAN_SIGNS.category_names == (*BENCHMARK_CATEGORIES, "other")
    labels = GERMAN_SIGNS.labels(np.arange(NUM_CLASSES))
    assert labels.dtype == np.int64
    for label, name in enumerate(GERMAN_SIGNS.category_names):
        assert set(np.flatnonzero(labels == label)) == CATEGORIES[name]


def test_well_known_signs_have_the_ids_of_the_benchmark() -> None:
    known = {2: "speed limit 50", 12: "priority road", 13: "give way", 14: "stop", 38: "keep right", 40: "roundabout"}

    assert {class_id: CLASS_NAMES[class_id] for class_id in known} == known
