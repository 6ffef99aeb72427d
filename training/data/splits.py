"""Splits for users' data sets: takes theirs, or makes a test split of a tenth of the images of each class."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from training.data.records import Sample

SHARE = 10  # one of so many images is a test image
MIN_IMAGES_FOR_TEST_SPLIT = 5  # of a class
SPLITS_BY_WORD = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def split_named(words: Iterable[str]) -> str:
    """Returns the split that the first such word names: "train", "validation", "test" or an empty string."""
    return next((SPLITS_BY_WORD[word.lower()] for word in words if word.lower() in SPLITS_BY_WORD), "")


def settle_splits(
    samples: Sequence[Sample], named: Sequence[str], places: str
) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Assigns samples to the training and test splits, and returns notices about the choice.

    A test split of the data set is kept, and its validation split becomes training data, because training holds out its
    own share. If there is only a validation split, it becomes the test split. If there is neither, a tenth of the
    images of each class becomes the test split, always the same ones.

    All samples are given as training data; `named` is the split that the data set names for each: "train",
    "validation", "test" or an empty string. `places` is where the format has its splits, for the notice.
    """
    test = next((split for split in ("test", "validation") if split in named), "")
    if not test:
        return _spared(samples, places)
    settled = [
        replace(each, split="test" if name == test else "train") for each, name in zip(samples, named, strict=True)
    ]
    notices = ("its validation split is the test split here: there is no other",) if test == "validation" else ()
    return tuple(settled), notices


def _spared(samples: Sequence[Sample], places: str) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    rows: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        rows[sample.boxes[0].class_id if sample.boxes else -1].append(sample)
    spared: set[str] = set()
    for row in rows.values():
        if len(row) >= MIN_IMAGES_FOR_TEST_SPLIT:
            by_chance = sorted(row, key=lambda each: hashlib.sha256(each.image.encode()).digest())
            spared |= {each.image for each in by_chance[: max(1, len(row) // SHARE)]}
    settled = tuple(replace(each, split="test" if each.image in spared else "train") for each in samples)
    if not spared:
        return settled, (
            "it has no test split, and too few images to make one, which takes "
            f"{MIN_IMAGES_FOR_TEST_SPLIT} of a class. Add images, or divide them into {places} yourself",
        )
    return settled, (
        f"it has no test split: {len(spared)} of its {len(samples)} images are used for testing. If several images "
        f"show the same object, divide them into {places} yourself, or the figures are too optimistic",
    )
