"""Training data from several data sets at once: what to learn from, and what to judge on."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.progress import ProgressCallback
from training.data.classes import class_facts, common_classes
from training.data.crops import Crops, cut_crops
from training.data.leakage import leaked_tracks
from training.data.load import load_together
from training.data.records import FEEDBACK, MOST_TOLD, SPLITS, Dataset
from training.data.repeats import without_repeats
from training.data.synthetic_crops import MOST_CROPS, draw_crops
from training.errors import DataError

DRAWN = "synthetic"


@dataclass(frozen=True)
class Drawings:
    """So many drawn signs, given as `synthetic=N`; they are only learned from, never judged on."""

    count: int

    @property
    def name(self) -> str:
        """What to call them in logs and reports."""
        return f"{DRAWN}={self.count}"

    @property
    def classes(self) -> ClassSet:
        """What the class ids mean."""
        return GERMAN_SIGNS


@dataclass(frozen=True)
class TrainingData:
    """Crops to learn from and crops to judge on.

    Attributes:
        name: of the data sets together.
        train: all training crops.
        tests: the test crops of each data set that has some, by its kind.
        notices: what a person should know, a sentence each.
        is_drawn: bool [n], which of the training crops are drawings.
        classes: what the class ids mean.
        free_of: kinds of data sets whose test signs, those at hand, have been taken out of the training crops.
    """

    name: str
    train: Crops
    tests: dict[str, Crops]
    notices: tuple[str, ...]
    free_of: tuple[str, ...]
    is_drawn: npt.NDArray[np.bool_]
    classes: ClassSet = GERMAN_SIGNS

    def facts(self) -> dict[str, str]:
        """Returns what a checkpoint is to remember of the data."""
        facts = {"name": self.name, "fingerprint": self.train.fingerprint, "free_of": ",".join(self.free_of)}
        return facts | class_facts(self.classes)


def open_sources(specs: Sequence[str]) -> list[Dataset | Drawings]:
    """Opens data sets as the command line gives them: `KIND=PATH` or `PATH` as `load_data` has it, or `synthetic=N`.

    Raises:
        DataError: one has another form or cannot be read, or one is given twice.
    """
    doubled = {spec for spec in specs if specs.count(spec) > 1}
    if doubled:
        raise DataError(f"{doubled.pop()} is given twice: name each data set once")
    drawn = {spec: _drawings(spec) for spec in specs if spec.partition("=")[0] == DRAWN}
    if len(drawn) > 1:  # the first of both would be the same crops
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
) -> TrainingData:
    """Cuts or draws all crops.

    GTSRB and GTSDB were filmed on the same drives. Where both are given, the tracks of GTSRB that show a test sign
    of GTSDB are left out, and the scenes of GTSDB that show one of GTSRB, so that the figures are honest; so are the
    entries of feedback that show a test sign or picture of either.

    Args:
        sources: data sets and drawings.
        size: side of a crop in pixels.
        seed: of the drawings.
        keep_leaked: keep them all the same.
        progress: receives how far each part is.

    Raises:
        DataError: there is nothing to learn from or to judge on, two data sets are copies of one benchmark, or an
            image or label cannot be used.
    """
    classes = common_classes(sources)
    _check_copies(sources)
    trains: list[tuple[str, Crops]] = []
    tests: dict[str, Crops] = {}
    notices: list[str] = []
    checked = iter(without_repeats([each for each in sources if isinstance(each, Dataset)], keep_leaked, progress))
    for source in (each if isinstance(each, Drawings) else next(checked) for each in sources):
        if isinstance(source, Drawings):
            drawn = draw_crops(source.count, size, seed, _told(progress, "drawing signs"))
            trains.append((DRAWN, drawn))
            continue
        notices.extend(f"{source.name}: {notice}" for notice in source.told())
        if source.has_signs("train"):
            crops = cut_crops(source, "train", size, _told(progress, f"reading {source.kind} training images"))
            trains.append((source.kind, crops))
        if source.has_signs("test"):
            tests[source.kind] = cut_crops(source, "test", size, _told(progress, f"reading {source.kind} test images"))
    if not trains:
        told = f" ({'; '.join(notices)})" if notices else ""
        raise DataError(f"there are no labelled training signs in the data{told}: give a benchmark's training part")
    if all(kind == FEEDBACK for kind, _ in trains):
        _check_feedback(trains)
    free_of: tuple[str, ...] = ()
    if not keep_leaked:
        free_of = tuple(sorted(tests))
        trains, dropped = _without_leaks(trains, tests)
        notices.extend(dropped)
    notices.extend(_unlearned_classes(trains, len(classes)))
    name = ", ".join(source.name for source in sources)
    is_drawn = np.concatenate([np.full(len(crops), kind == DRAWN) for kind, crops in trains])
    return TrainingData(name, _joined(trains), tests, tuple(notices), free_of, is_drawn, classes)


def _check_copies(sources: Sequence[Dataset | Drawings]) -> None:
    """Raises DataError where two data sets have the same split of a benchmark.

    Two copies of its training split would be taken for different signs: what is held out of one is learned from the
    other, and the figure of the hold-out measures memory.
    """
    benchmarks = [each for each in sources if isinstance(each, Dataset) and each.kind != FEEDBACK]
    for split, what in zip(SPLITS, ("training", "test"), strict=True):
        kinds = [each.kind for each in benchmarks if each.has_signs(split)]
        for kind in sorted(set(kinds)):
            if kinds.count(kind) > 1:
                raise DataError(f"two data sets of the kind {kind} have a {what} split: give one of them")


def _check_feedback(trains: Sequence[tuple[str, Crops]]) -> None:
    """Raises DataError where feedback alone shows one class, from which there is nothing to learn."""
    if len(set(np.concatenate([crops.class_ids for _, crops in trains]).tolist())) == 1:
        raise DataError("all signs of the feedback are of one class: give other data as well, such as images=PATH")


def _unlearned_classes(trains: Sequence[tuple[str, Crops]], count: int) -> list[str]:
    """Returns a notice where classes have no training sign, which the network will never answer with reason."""
    shown = set(np.concatenate([crops.class_ids for _, crops in trains]).tolist())
    empty = [str(class_id) for class_id in range(count) if class_id not in shown]
    if not empty:
        return []
    ids = ", ".join(empty[:MOST_TOLD]) + (" and others" if len(empty) > MOST_TOLD else "")
    return [f"no training sign shows {len(empty)} of the {count} classes, so that they are not learned: {ids}"]


def _without_leaks(
    trains: Sequence[tuple[str, Crops]], tests: dict[str, Crops]
) -> tuple[list[tuple[str, Crops]], list[str]]:
    """Drops the tracks and scenes that show a test sign of another data set."""
    kept, notices = [], []
    for kind, crops in trains:
        # What feedback repeats has gone before: of that, whole pictures are compared, too.
        others = {other: test for other, test in tests.items() if other != kind and kind not in (DRAWN, FEEDBACK)}
        for other, test in others.items():
            leaked = set(leaked_tracks(crops, test).tracks)
            keep = np.array([source not in leaked for source in crops.sources])
            if keep.all():
                continue
            what = "track" if kind == "gtsrb" else "scene"
            notices.append(
                f"{len(leaked)} {what}{'s' * (len(leaked) != 1)} of {kind.upper()} ({int((~keep).sum())} crops) show "
                f"test signs of {other.upper()} and are left out; --keep-leaked keeps them"
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


def _told(progress: ProgressCallback, what: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(what, done, total)
