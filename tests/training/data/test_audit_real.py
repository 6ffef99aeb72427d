"""Tests of the audit on the real benchmark."""

import pytest

from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from training.data.audit import Audit, audit
from training.data.gtsdb import load_gtsdb

pytestmark = [*NEEDS_GTSDB, pytest.mark.long]  # it reads 660 scenes and compares all of them


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit([load_gtsdb(GTSDB)])


def test_nothing_is_broken_and_one_line_stands_in_it_twice(found: Audit) -> None:
    (facts,) = found.data_sets

    assert facts.broken == ()
    assert facts.bad_boxes == ()
    assert [double.image.rpartition("/")[2] for double in facts.double_boxes] == ["00340.jpg"]
    assert found.duplicates == ()


def test_counts_are_those_of_the_benchmark(found: Audit) -> None:
    train, test = (found.data_sets[0].splits[split] for split in ("train", "test"))

    assert (train.images, train.signs, train.without_signs, train.empty_classes) == (600, 852, 94, ())
    assert (test.images, test.signs, test.without_signs) == (60, 72, 9)


def test_no_test_sign_stands_in_the_training_scenes(found: Audit) -> None:
    (comparison,) = found.comparisons

    assert (comparison.test_signs, comparison.repeated_signs) == (72, 0)
