"""Audits data sets: counts, broken images and labels, duplicates, and leakage between splits.

Every image is decoded, as in training. Broken images, invalid boxes and unusable entries of feedback are problems;
everything else is information. Entries of feedback that training leaves out count as training counts them.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import ClassSet
from traffic_signs.preprocessing import ImageError, crop, decode
from traffic_signs.progress import ProgressCallback, silent
from training.data.classes import common_classes
from training.data.crops import Crops
from training.data.feedback import entry_of
from training.data.leakage import THRESHOLD, Leakage, leaked_tracks
from training.data.records import FEEDBACK, SPLITS, Dataset, Problem, Sample, Split
from training.data.repeats import without_repeats
from training.data.threads import map_in_threads
from training.errors import DataError

CROP_SIZE = 48


@dataclass(frozen=True)
class SplitFacts:
    """The facts of one split of a data set."""

    images: int
    signs: int  # labelled ones, including those in broken images
    without_signs: int  # images that are labelled as empty
    unlabelled: int  # images without labels
    signs_per_class: tuple[int, ...]  # by class id
    long_sides: dict[int, int]  # number of signs by long side of the box in pixels, without those of size 0
    empty_classes: tuple[int, ...]  # classes without a sign; empty for a split without any sign
    fingerprint: str  # sha256 of all images and labels, independent of their paths and order


@dataclass(frozen=True)
class Entries:
    """Numbers of entries of feedback."""

    total: int
    used: int  # for training
    superseded: int  # whose picture has a later correction
    repeated: int  # that repeat pictures of the other data sets; the notices have the reasons
    left_out: int  # unusable
    newest: str | None  # name of the newest used one, which begins with its time of arrival; None without any


@dataclass(frozen=True)
class Duplicate:
    """Images with the same bytes."""

    sha256: str  # of the bytes
    images: tuple[tuple[str, Split, str], ...]  # data set, split and path of two or more images
    labels_differ: bool  # not all have the same boxes and classes

    @property
    def reach(self) -> str:
        """Where the duplicates are: "within a split", "across splits" or "across data sets"."""
        if len({name for name, _, _ in self.images}) > 1:
            return "across data sets"
        return "across splits" if len({split for _, split, _ in self.images}) > 1 else "within a split"


@dataclass(frozen=True)
class DatasetFacts:
    """The facts of one data set."""

    name: str
    splits: dict[Split, SplitFacts]  # those that have images
    broken: tuple[Problem, ...]  # images that cannot be read or decoded
    bad_boxes: tuple[Problem, ...]  # boxes that reach outside their image or have no area
    double_boxes: tuple[Problem, ...]  # boxes that are labelled more than once, with one class or with several
    divided_tracks: tuple[str, ...]  # tracks with images in both splits
    tracks_of_two_classes: tuple[str, ...]  # tracks whose images are labelled with more than one class
    notices: tuple[str, ...]  # of the reader, and about repeated entries of feedback
    left_out: tuple[Problem, ...]  # unusable entries of feedback, which training leaves out
    entries: Entries | None  # of feedback; None for other data sets
    classes: ClassSet


@dataclass(frozen=True)
class Comparison:
    """The comparison of one data set's training crops with the test crops of the same or another data set."""

    train: str  # name of the data set with the training crops
    test: str  # name of the data set with the test crops
    leakage: Leakage  # the repeats, with indices into `Signs`
    test_signs: int
    repeated_signs: int  # number of test crops that a training crop repeats
    images: int  # number of training images in the leaked tracks


@dataclass(frozen=True)
class Signs:
    """The signs of one split that can be cropped, each with its image."""

    crops: Crops
    images: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The result of an audit; `signs` holds the crops for its pictures."""

    data_sets: tuple[DatasetFacts, ...]
    duplicates: tuple[Duplicate, ...]
    comparisons: tuple[Comparison, ...]
    signs: dict[tuple[str, Split], Signs]

    @property
    def problems(self) -> int:
        """Number of broken images, bad boxes and unusable entries."""
        return sum(len(facts.broken) + len(facts.bad_boxes) + len(facts.left_out) for facts in self.data_sets)


@dataclass(frozen=True)
class _Checked:
    """One decoded image; `crops` is empty if it is broken, and holds None for a box outside the image."""

    sample: Sample
    sha256: str | None
    broken: str | None
    bad_boxes: tuple[str, ...] = ()
    crops: tuple[npt.NDArray[np.uint8] | None, ...] = ()

    @property
    def is_sound(self) -> bool:
        return self.broken is None and all(crop is not None for crop in self.crops)


def audit(data_sets: Sequence[Dataset], progress: ProgressCallback = silent) -> Audit:
    """Decodes every image and compares all training splits with all test splits.

    Raises DataError if two data sets have the same name, or different classes.
    """
    names = [dataset.name for dataset in data_sets]
    if len(set(names)) < len(names):
        raise DataError(
            f"two data sets are both called {Counter(names).most_common(1)[0][0]}: give each once, or rename one"
        )
    common_classes(data_sets)
    facts: list[DatasetFacts] = []
    signs: dict[tuple[str, Split], Signs] = {}
    sound: list[Dataset] = []
    digests: dict[str, list[tuple[str, Sample]]] = defaultdict(list)
    for dataset in data_sets:
        checked = []
        for each in map_in_threads(partial(_check, dataset), dataset.samples):
            checked.append(each)
            progress(f"reading {dataset.name}", len(checked), len(dataset.samples))
            if each.sha256 is not None:
                digests[each.sha256].append((dataset.name, each.sample))
        facts.append(_facts(dataset, checked))
        whole = tuple(each.sample for each in checked if each.is_sound)
        sound.append(replace(dataset, samples=whole))
        for split in SPLITS:
            found = _collect(checked, split)
            if found is not None:
                signs[dataset.name, split] = found
    for number, used in enumerate(without_repeats(sound, keep_leaked=False, progress=progress)):
        if used.kind == FEEDBACK:
            entries = _entries(used, len(sound[number].samples) - len(used.samples))
            facts[number] = replace(facts[number], notices=used.notices, entries=entries)
    return Audit(tuple(facts), _duplicates(digests), tuple(_compare(names, signs, progress)), signs)


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
        entries=None,
        classes=dataset.classes,
    )


def _doubles(sample: Sample) -> Iterator[str]:
    """Yields a sentence for each box that is labelled more than once."""
    classes: dict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    for box in sample.boxes:
        classes[box.left, box.top, box.right, box.bottom].append(box.class_id)
    for (left, top, right, bottom), found in classes.items():
        if len(found) > 1 and left < right:  # boxes in a broken image have no area
            yield f"the box from {left},{top} to {right},{bottom} has the classes {', '.join(map(str, found))}"


def _entries(dataset: Dataset, repeated: int) -> Entries:
    used, superseded, left_out = len(dataset.samples), len(dataset.superseded), len(dataset.left_out)
    newest = max(map(entry_of, dataset.samples), default=None)
    return Entries(used + superseded + repeated + left_out, used, superseded, repeated, left_out, newest)


def _split_facts(samples: Sequence[Sample], digests: dict[str, str], classes: int) -> SplitFacts:
    boxes = [box for sample in samples for box in sample.boxes]
    per_class = Counter(box.class_id for box in boxes)
    sides = (max(box.right - box.left, box.bottom - box.top) for box in boxes)
    long_sides = Counter(side for side in sides if side > 0)  # 0 in a broken image, whose size is not known
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
    found = [
        (image, box.class_id, each.sample)
        for each in checked
        if each.sample.split == split
        # Broken images have boxes but no crops.
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
    """Yields the comparison of each training split with each test split, including its own."""
    pairs = [
        (train, test) for train in names for test in names if (train, "train") in signs and (test, "test") in signs
    ]
    for done, (train, test) in enumerate(pairs, start=1):
        train_signs, test_signs = signs[train, "train"], signs[test, "test"]
        leakage = leaked_tracks(train_signs.crops, test_signs.crops, THRESHOLD)
        dropped, shown = set(leakage.tracks), zip(train_signs.images, train_signs.crops.sources, strict=True)
        yield Comparison(
            train=train,
            test=test,
            leakage=leakage,
            test_signs=len(test_signs.crops),
            repeated_signs=len({repeat.test for repeat in leakage.repeats}),
            images=len({image for image, track in shown if track in dropped}),
        )
        progress("comparing training with test signs", done, len(pairs))
