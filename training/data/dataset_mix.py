"""Combines several data sets into the classifier's training and test crops."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.progress import ProgressCallback
from training.data.classes import class_facts, common_classes
from training.data.crops import Crops, cut_crops
from training.data.leakage import leaked_tracks
from training.data.load import load_together
from training.data.records import DRAWN, FEEDBACK, MOST_LISTED, SPLITS, Dataset, Drawings
from training.data.repeats import without_repeats
from training.data.synthetic_crops import MOST_CROPS, draw_crops
from training.errors import DataError


class Selectable(Protocol):
    """Training examples, of which some can be selected."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data."""

    @property
    def sources(self) -> Sequence[Any]:
        """The track or image of each example."""

    def __len__(self) -> int: ...

    def select(self, indices: npt.NDArray[np.int64]) -> Self:
        """Returns the examples at `indices`."""


Examples = TypeVar("Examples", bound=Selectable)


@dataclass(frozen=True)
class TrainingData(Generic[Examples]):
    """Training and test examples of one or several data sets."""

    name: str  # names of all data sets
    train: Examples  # all training examples
    tests: dict[str, Examples]  # test examples by kind of data set
    notices: tuple[str, ...]  # to the user, a sentence each
    free_of: tuple[str, ...]  # kinds of data sets whose test signs were removed from the training examples
    classes: ClassSet

    def facts(self) -> dict[str, str]:
        """Returns the facts of the data for a checkpoint."""
        facts = {"name": self.name, "fingerprint": self.train.fingerprint, "free_of": ",".join(self.free_of)}
        return facts | class_facts(self.classes)


@dataclass(frozen=True)
class CropData(TrainingData[Crops]):
    """Training and test crops; `is_drawn`, bool [n], is which training crops are drawings."""

    is_drawn: npt.NDArray[np.bool_]


def open_sources(specs: Sequence[str]) -> list[Dataset | Drawings]:
    """Opens data sets from their command-line form: `KIND=PATH` or `PATH` as in `load_data`, or `synthetic=N`.

    Raises DataError if a form is invalid, a data set cannot be read, or one is given twice.
    """
    drawn = {spec: _drawings(spec) for spec in specs if spec.partition("=")[0] == DRAWN}
    if sum(spec in drawn for spec in specs) > 1:  # the first of both would be the same crops
        raise DataError(f"{DRAWN}=N is given twice: give the number of all drawn signs once")
    others = iter(load_together([spec for spec in specs if spec not in drawn], GERMAN_SIGNS if drawn else None))
    return [drawn[spec] if spec in drawn else next(others) for spec in specs]


def _drawings(spec: str) -> Drawings:
    _, _, count = spec.partition("=")
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= MOST_CROPS):
        raise DataError(f"{spec!r}: give the number of signs to draw, 1 to {MOST_CROPS:,}, such as {DRAWN}=20000")
    return Drawings(int(count))


def gather_crops(
    sources: Sequence[Dataset | Drawings], size: int, seed: int, keep_leaked: bool, progress: ProgressCallback
) -> CropData:
    """Cuts or draws all crops, without leakage from test to training crops.

    GTSRB and GTSDB were filmed on the same drives. If both are given, tracks of GTSRB that show a test sign of GTSDB
    are left out, and scenes of GTSDB that show a test sign of GTSRB. Entries of feedback that show a test sign or a
    test image of either are left out, too.

    A crop is a square of `size` pixels; `seed` is that of the drawings. With `keep_leaked` nothing is left out.
    Raises DataError if there are no training signs, two data sets are copies of one benchmark, or an image or label
    cannot be used.
    """
    classes = common_classes(sources)
    _check_copies(sources)
    trains: list[tuple[str, Crops]] = []
    tests: dict[str, Crops] = {}
    notices: list[str] = []
    data_sets = [each for each in sources if isinstance(each, Dataset)]
    checked = iter(without_repeats(data_sets, keep_leaked, progress))
    for source in (each if isinstance(each, Drawings) else next(checked) for each in sources):
        if isinstance(source, Drawings):
            trains.append((DRAWN, draw_crops(source.count, size, seed, partial(progress, "drawing signs"))))
            continue
        notices.extend(f"{source.name}: {notice}" for notice in source.all_notices())
        if source.has_signs("train"):
            crops = cut_crops(source, "train", size, partial(progress, f"reading {source.kind} training images"))
            trains.append((source.kind, crops))
        if source.has_signs("test"):
            shown = partial(progress, f"reading {source.kind} test images")
            tests[source.kind] = cut_crops(source, "test", size, shown)
    if not trains:
        reasons = f" ({'; '.join(notices)})" if notices else ""
        raise DataError(f"there are no labelled training signs in the data{reasons}: give a benchmark's training part")
    if all(kind == FEEDBACK for kind, _ in trains) and len(_shown(trains)) == 1:  # nothing to learn
        raise DataError("all signs of the feedback are of one class: give other data as well, such as images=PATH")
    free_of: tuple[str, ...] = ()
    if not keep_leaked:
        free_of = tuple(sorted(tests))
        trains, dropped = _without_leaks(trains, tests, {each.kind: each.name for each in data_sets})
        notices.extend(dropped)
    notices.extend(_unlearned_classes(trains, len(classes)))
    name = ", ".join(source.name for source in sources)
    is_drawn = np.concatenate([np.full(len(crops), kind == DRAWN) for kind, crops in trains])
    return CropData(name, _joined(trains), tests, tuple(notices), free_of, classes, is_drawn)


def _check_copies(sources: Sequence[Dataset | Drawings]) -> None:
    """Raises DataError if two data sets contain the same split of a benchmark.

    A sign that is held out from one copy would be learned from the other.
    """
    benchmarks = [each for each in sources if isinstance(each, Dataset) and each.kind != FEEDBACK]
    for split, what in zip(SPLITS, ("training", "test"), strict=True):
        kinds = [each.kind for each in benchmarks if each.has_signs(split)]
        for kind in sorted(set(kinds)):
            if kinds.count(kind) > 1:
                raise DataError(f"two data sets of the kind {kind} have a {what} split: give one of them")


def _shown(trains: Sequence[tuple[str, Crops]]) -> set[int]:
    return set(np.concatenate([crops.class_ids for _, crops in trains]).tolist())


def _unlearned_classes(trains: Sequence[tuple[str, Crops]], count: int) -> list[str]:
    shown = _shown(trains)
    empty = [str(class_id) for class_id in range(count) if class_id not in shown]
    if not empty:
        return []
    ids = ", ".join(empty[:MOST_LISTED]) + (" and others" if len(empty) > MOST_LISTED else "")
    return [f"no training sign shows {len(empty)} of the {count} classes, so that they are not learned: {ids}"]


def _without_leaks(
    trains: Sequence[tuple[str, Crops]], tests: dict[str, Crops], names: dict[str, str]
) -> tuple[list[tuple[str, Crops]], list[str]]:
    """Removes the tracks and images that show a test sign of another data set; `names` are those of the kinds."""
    kept, notices = [], []
    for kind, crops in trains:
        # Feedback has been filtered by `without_repeats`, which also compares whole pictures.
        others = {other: test for other, test in tests.items() if other != kind and kind not in (DRAWN, FEEDBACK)}
        for other, test in others.items():
            leaked = set(leaked_tracks(crops, test).tracks)
            keep = np.array([source not in leaked for source in crops.sources])
            if keep.all():
                continue
            what = "track" if kind == "gtsrb" else "image"
            notices.append(
                f"{len(leaked)} {what}{'s' * (len(leaked) != 1)} of {names[kind]} ({int((~keep).sum())} crops) show "
                f"test signs of {names[other]} and are left out; --keep-leaked keeps them"
            )
            fingerprint = hashlib.sha256(f"{crops.fingerprint} without {sorted(leaked)}".encode()).hexdigest()
            crops = replace(crops.select(np.flatnonzero(keep)), fingerprint=fingerprint)
        kept.append((kind, crops))
    return kept, notices


def _joined(parts: Sequence[tuple[str, Crops]]) -> Crops:
    if len(parts) == 1:
        return parts[0][1]
    fingerprints = "".join(crops.fingerprint for _, crops in parts)
    return Crops(
        images=np.concatenate([crops.images for _, crops in parts]),
        class_ids=np.concatenate([crops.class_ids for _, crops in parts]),
        # Two data sets may both have an image 00000.ppm.
        sources=tuple(
            f"{number}-{kind}/{source}" for number, (kind, crops) in enumerate(parts) for source in crops.sources
        ),
        fingerprint=hashlib.sha256(fingerprints.encode()).hexdigest(),
    )
