"""An audit of data sets: what is in them, what is broken, what stands in them twice.

Every image is read and decoded once, as training would. Broken images, boxes that cannot be right and entries of
feedback that cannot be used are problems; everything else is worth knowing, and no fault.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import ClassSet
from traffic_signs.preprocessing import ImageError, crop, decode
from traffic_signs.progress import ProgressCallback, silent
from training.data.classes import common_classes
from training.data.crops import Crops
from training.data.leakage import THRESHOLD, Leakage, leaked_tracks
from training.data.records import FEEDBACK, SPLITS, Dataset, Problem, Sample, Split
from training.data.threads import map_in_threads
from training.errors import DataError

CROP_SIZE = 48


@dataclass(frozen=True)
class SplitFacts:
    """One split of a data set.

    Attributes:
        images: how many there are.
        signs: labelled signs, broken images included.
        without_signs: labelled images that show no sign.
        unlabelled: images of which nobody said what they show.
        signs_per_class: labelled signs by class id.
        long_sides: how many signs have so many pixels on the long side of their box.
        empty_classes: classes without a sign; none are listed for a split without any sign.
        fingerprint: sha256 of all images and their labels, wherever they lie and in whatever order.
    """

    images: int
    signs: int
    without_signs: int
    unlabelled: int
    signs_per_class: tuple[int, ...]
    long_sides: dict[int, int]
    empty_classes: tuple[int, ...]
    fingerprint: str


@dataclass(frozen=True)
class Entries:
    """What became of the entries of feedback.

    Attributes:
        total: how many there are.
        used: those that are learned from.
        superseded: those whose picture was corrected again later.
        left_out: those that cannot be used.
        newest: name of the newest one that is used, which begins with the time of its arrival; None without any.
    """

    total: int
    used: int
    superseded: int
    left_out: int
    newest: str | None


@dataclass(frozen=True)
class Duplicate:
    """Images with the same bytes.

    Attributes:
        sha256: of the bytes.
        images: two or more, each as its data set, split and path.
        labels_differ: whether not all have the same boxes and classes.
    """

    sha256: str
    images: tuple[tuple[str, Split, str], ...]
    labels_differ: bool

    @property
    def reach(self) -> str:
        """How far apart they lie: "within a split", "across splits" or "across data sets"."""
        if len({name for name, _, _ in self.images}) > 1:
            return "across data sets"
        return "across splits" if len({split for _, split, _ in self.images}) > 1 else "within a split"


@dataclass(frozen=True)
class DatasetFacts:
    """One data set.

    Attributes:
        name: of the data set.
        splits: what is in each split that has images.
        broken: images that cannot be read or decoded.
        bad_boxes: boxes that reach outside their image or have no area.
        double_boxes: boxes that are labelled more than once, with one class or with several.
        divided_tracks: tracks that stand in both splits.
        tracks_of_two_classes: tracks whose images are labelled with more than one class.
        notices: what the reader noticed.
        left_out: entries of feedback that cannot be used, and that training leaves out.
        entries: how many entries there are; None for a benchmark.
        classes: what the class ids mean.
    """

    name: str
    splits: dict[Split, SplitFacts]
    broken: tuple[Problem, ...]
    bad_boxes: tuple[Problem, ...]
    double_boxes: tuple[Problem, ...]
    divided_tracks: tuple[str, ...]
    tracks_of_two_classes: tuple[str, ...]
    notices: tuple[str, ...]
    left_out: tuple[Problem, ...]
    entries: Entries | None
    classes: ClassSet


@dataclass(frozen=True)
class Comparison:
    """Training crops of one data set against test crops of another, or of the same.

    Attributes:
        train: name of the data set that is learned from.
        test: name of the one that is judged on.
        leakage: the repeats; the indices are those of `Signs`.
        test_signs: crops of the test split in all.
        repeated_signs: those of them that a training crop repeats.
        images: training images that go with the tracks, were they left out.
    """

    train: str
    test: str
    leakage: Leakage
    test_signs: int
    repeated_signs: int
    images: int


@dataclass(frozen=True)
class Signs:
    """The signs of one split that could be cut out, each with the image it comes from."""

    crops: Crops
    images: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """What an audit found; `signs` are there to draw pictures from."""

    data_sets: tuple[DatasetFacts, ...]
    duplicates: tuple[Duplicate, ...]
    comparisons: tuple[Comparison, ...]
    signs: dict[tuple[str, Split], Signs]

    @property
    def problems(self) -> int:
        """How many broken images, bad boxes and entries that cannot be used there are."""
        return sum(len(facts.broken) + len(facts.bad_boxes) + len(facts.left_out) for facts in self.data_sets)


@dataclass(frozen=True)
class _Checked:
    """One image after it was read: where it is broken, `crops` is empty; a box that misses it has the crop None."""

    sample: Sample
    sha256: str | None
    broken: str | None
    bad_boxes: tuple[str, ...] = ()
    crops: tuple[npt.NDArray[np.uint8] | None, ...] = ()


def audit(data_sets: Sequence[Dataset], progress: ProgressCallback = silent) -> Audit:
    """Reads and decodes every image and compares what training would learn from with what it would be judged on.

    Args:
        data_sets: one or more.
        progress: receives how far each part is.

    Raises:
        DataError: two of the data sets have one name, or different classes.
    """
    names = [dataset.name for dataset in data_sets]
    if len(set(names)) < len(names):
        raise DataError(
            f"two data sets are both called {Counter(names).most_common(1)[0][0]}: give each once, or rename one"
        )
    common_classes(data_sets)
    facts: list[DatasetFacts] = []
    signs: dict[tuple[str, Split], Signs] = {}
    digests: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for dataset in data_sets:
        checked = []
        for each in _check_all(dataset, progress):
            checked.append(each)
            if each.sha256 is not None:
                digests[each.sha256].append((dataset.name, each.sample))
        facts.append(_facts(dataset, checked))
        for split in SPLITS:
            found = _collect(checked, split)
            if found is not None:
                signs[dataset.name, split] = found
    return Audit(tuple(facts), _duplicates(digests), tuple(_compare(names, signs, progress)), signs)


def _check_all(dataset: Dataset, progress: ProgressCallback) -> Iterator[_Checked]:
    for done, checked in enumerate(map_in_threads(partial(_check, dataset), dataset.samples), start=1):
        yield checked
        progress(f"reading {dataset.name}", done, len(dataset.samples))


def _check(dataset: Dataset, sample: Sample) -> _Checked:
    try:
        data = dataset.read(sample)
    except DataError as error:
        return _Checked(sample, None, str(error))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = decode(data)
    except ImageError as error:
        return _Checked(sample, sha256, str(error))
    bad_boxes: list[str] = []
    crops: list[npt.NDArray[np.uint8] | None] = []
    for box in sample.boxes:
        fault = box.fault(image.width, image.height)
        if fault is not None:
            bad_boxes.append(fault)
        try:
            crops.append(crop(image, (box.left, box.top, box.right, box.bottom), CROP_SIZE))
        except ImageError:
            crops.append(None)
    return _Checked(sample, sha256, None, tuple(bad_boxes), tuple(crops))


def _facts(dataset: Dataset, checked: Sequence[_Checked]) -> DatasetFacts:
    splits: dict[str, set[Split]] = defaultdict(set)
    classes: dict[str, set[int]] = defaultdict(set)
    for sample in dataset.samples:
        if sample.track is not None:
            splits[sample.track].add(sample.split)
            classes[sample.track].update(box.class_id for box in sample.boxes)
    digests = {each.sample.image: each.sha256 or "" for each in checked}
    return DatasetFacts(
        name=dataset.name,
        splits={
            split: _split_facts(samples, digests, len(dataset.classes))
            for split in SPLITS
            if (samples := dataset.split(split))
        },
        broken=tuple(Problem(each.sample.image, each.broken) for each in checked if each.broken is not None),
        bad_boxes=tuple(Problem(each.sample.image, fault) for each in checked for fault in each.bad_boxes),
        double_boxes=tuple(Problem(sample.image, what) for sample in dataset.samples for what in _doubles(sample)),
        divided_tracks=tuple(sorted(track for track, found in splits.items() if len(found) > 1)),
        tracks_of_two_classes=tuple(sorted(track for track, found in classes.items() if len(found) > 1)),
        notices=dataset.notices,
        left_out=dataset.left_out,
        entries=_entries(dataset) if dataset.kind == FEEDBACK else None,
        classes=dataset.classes,
    )


def _doubles(sample: Sample) -> Iterator[str]:
    """Yields a sentence for each box of a sample that is labelled more than once."""
    classes: dict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    for box in sample.boxes:
        classes[box.left, box.top, box.right, box.bottom].append(box.class_id)
    for (left, top, right, bottom), found in classes.items():
        if len(found) > 1:
            yield f"the box from {left},{top} to {right},{bottom} has the classes {', '.join(map(str, found))}"


def _entries(dataset: Dataset) -> Entries:
    used, superseded, left_out = len(dataset.samples), len(dataset.superseded), len(dataset.left_out)
    newest = max((PurePosixPath(sample.image).parent.name for sample in dataset.samples), default=None)
    return Entries(used + superseded + left_out, used, superseded, left_out, newest)


def _split_facts(samples: Sequence[Sample], digests: dict[str, str], classes: int) -> SplitFacts:
    boxes = [box for sample in samples for box in sample.boxes]
    per_class = Counter(box.class_id for box in boxes)
    long_sides = Counter(max(box.right - box.left, box.bottom - box.top) for box in boxes)
    lines = sorted(
        f"{digests.get(sample.image)} {sample.labelled} {sorted(map(repr, sample.boxes))}" for sample in samples
    )
    return SplitFacts(
        images=len(samples),
        signs=len(boxes),
        without_signs=sum(sample.labelled and not sample.boxes for sample in samples),
        unlabelled=sum(not sample.labelled for sample in samples),
        signs_per_class=tuple(per_class[class_id] for class_id in range(classes)),
        long_sides=dict(sorted(long_sides.items())),
        empty_classes=tuple(class_id for class_id in range(classes) if boxes and not per_class[class_id]),
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    )


def _collect(checked: Sequence[_Checked], split: Split) -> Signs | None:
    """Returns the signs of one split, or None where there are none."""
    found = [
        (image, box.class_id, each.sample)
        for each in checked
        if each.sample.split == split
        # Broken images have boxes, but no crops.
        for box, image in zip(each.sample.boxes, each.crops, strict=False)
        if image is not None
    ]
    if not found:
        return None
    digests = "".join(each.sha256 or "" for each in checked if each.sample.split == split)
    crops = Crops(
        images=np.stack([image for image, _, _ in found]),
        class_ids=np.array([class_id for _, class_id, _ in found], dtype=np.int64),
        sources=tuple(sample.track or sample.image for _, _, sample in found),
        fingerprint=hashlib.sha256(digests.encode()).hexdigest(),
    )
    return Signs(crops, tuple(sample.image for _, _, sample in found))


def _duplicates(digests: dict[str, list[tuple[str, Sample]]]) -> tuple[Duplicate, ...]:
    return tuple(
        Duplicate(
            sha256=sha256,
            images=tuple((name, sample.split, sample.image) for name, sample in copies),
            labels_differ=len({sample.boxes for _, sample in copies}) > 1,
        )
        for sha256, copies in digests.items()
        if len(copies) > 1
    )


def _compare(
    names: Sequence[str], signs: dict[tuple[str, Split], Signs], progress: ProgressCallback
) -> Iterator[Comparison]:
    """Yields the comparison of every training split with every test split, its own included."""
    pairs = [
        (train, test) for train in names for test in names if (train, "train") in signs and (test, "test") in signs
    ]
    for done, (train, test) in enumerate(pairs, start=1):
        learned, judged = signs[train, "train"], signs[test, "test"]
        leakage = leaked_tracks(learned.crops, judged.crops, THRESHOLD)
        dropped = set(leakage.tracks)
        yield Comparison(
            train=train,
            test=test,
            leakage=leakage,
            test_signs=len(judged.crops),
            repeated_signs=len({repeat.test for repeat in leakage.repeats}),
            images=len(
                {image for image, track in zip(learned.images, learned.crops.sources, strict=True) if track in dropped}
            ),
        )
        progress("comparing training with test signs", done, len(pairs))
