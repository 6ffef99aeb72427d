"""A test split for data sets that bring none: a tenth of the images of each class, the same ones each time."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from training.data.records import Sample

SHARE = 10  # one in so many
FEWEST = 5  # images of a class, of which one may be spared
TRAIN_FOLDERS, VALIDATION_FOLDERS, TEST_FOLDERS = (
    ("train", "training"),
    ("val", "valid", "validation"),
    ("test", "testing"),
)


def split_named(part: str) -> str:
    """Returns what a folder or file name says of the split: "train", "validation", "test", or nothing."""
    word = part.lower()
    for split, names in (("train", TRAIN_FOLDERS), ("validation", VALIDATION_FOLDERS), ("test", TEST_FOLDERS)):
        if word in names:
            return split
    return ""


def settle_splits(samples: Sequence[Sample], named: Sequence[str]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Returns the samples in their splits, and notices of how these came about.

    A data set with a test split keeps it, and what is for validation is learned from, since training holds out a share
    of its own. One with a validation split alone is judged on that. One with neither gives a tenth of each class.

    Args:
        samples: all of them, as training data.
        named: what the data set says of each: "train", "validation", "test" or nothing.
    """
    test = next((split for split in ("test", "validation") if split in named), "")
    if not test:
        return _spared(samples)
    settled = [
        replace(each, split="test" if name == test else "train") for each, name in zip(samples, named, strict=True)
    ]
    notices = ("its validation split is the test split here: there is no other",) if test == "validation" else ()
    return tuple(settled), notices


def _spared(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    rows: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        rows[sample.boxes[0].class_id if sample.boxes else -1].append(sample)
    spared: set[str] = set()
    for row in rows.values():
        if len(row) >= FEWEST:
            by_chance = sorted(row, key=lambda each: hashlib.sha256(each.image.encode()).digest())
            spared |= {each.image for each in by_chance[: max(1, len(row) // SHARE)]}
    settled = tuple(replace(each, split="test" if each.image in spared else "train") for each in samples)
    return settled, (
        f"it has no test split: {len(spared)} of its {len(samples)} images are kept for the test. Where several images "
        "show one thing, part them yourself into folders train and test, or the figures flatter",
    )
