"""Removes feedback that repeats pictures of other data sets, because users also send pictures of the benchmarks.

Training on a corrected test picture would spoil the evaluation on that test split, and a picture in two data sets could
be in the training part of one and in the held-out part of the other.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.preprocessing import crop, resize
from traffic_signs.progress import ProgressCallback, silent
from training.data.crops import Crops
from training.data.feedback import entry_of
from training.data.images import read_images
from training.data.leakage import leaked_tracks
from training.data.records import FEEDBACK, Dataset, Sample
from training.data.threads import map_in_threads

SIDE = 48  # pixels; side of the signs and of the shrunk pictures that are compared


@dataclass(frozen=True)
class _Looks:
    """Shrunk pictures and crops of their signs, for comparison; the sources are the images."""

    pictures: Crops
    signs: Crops

    def like(self, others: "_Looks") -> set[str]:
        """Returns the images that are similar to another image or show a sign similar to another one of its class."""
        pairs = ((self.pictures, others.pictures), (self.signs, others.signs))
        return {image for mine, theirs in pairs for image in leaked_tracks(mine, theirs).tracks}


def without_repeats(
    data_sets: Sequence[Dataset], keep_leaked: bool, progress: ProgressCallback = silent
) -> list[Dataset]:
    """Leaves out entries of feedback that repeat pictures of the other data sets, and adds notices.

    An entry is left out if

    - it shows a test picture or a test sign of a benchmark, unless `keep_leaked`: the same bytes, a correlating
      picture, or a correlating sign of the same class. Whole pictures are compared like signs (`leaked_tracks`: 12x12
      pixels, above 0.98). The largest correlation among 36,000 pairs of training and test scenes of GTSDB is 0.979;
      recompressed, scaled, brightened or gamma-corrected scenes correlate above 0.99 with the original, and 95% of
      those with 2% cut off on each side above 0.986;
    - its bytes are those of a training image of a benchmark, whose labels are more reliable;
    - another folder of feedback has the same bytes in a newer entry.

    The data sets stay in their order. Nothing is read if none is feedback. Raises DataError if an image cannot be read.
    """
    if not any(dataset.kind == FEEDBACK for dataset in data_sets):
        return list(data_sets)
    digests = [_digests(dataset, progress) for dataset in data_sets]
    looks = {} if keep_leaked else _test_looks(data_sets, progress)
    tests, trains, newest = _owners(data_sets, digests)
    found = []
    for position, (dataset, mine) in enumerate(zip(data_sets, digests, strict=True)):
        if dataset.kind == FEEDBACK:
            known = {image: trains[digest] for image, digest in mine.items() if digest in trains}
            older = {image: "" for image, digest in mine.items() if newest[digest][1] != position}
            leaked = {} if keep_leaked else {image: tests[digest] for image, digest in mine.items() if digest in tests}
            dataset = _leave_out(dataset, older, "have a newer one in another folder of feedback")
            dataset = _leave_out(dataset, known, "repeat training images of {}, whose own labels count,")
            if looks and dataset.samples:
                own = _look(dataset, dataset.samples, "comparing feedback with test images", progress)
                leaked |= {image: name for name, others in looks.items() for image in own.like(others)}
            dataset = _leave_out(dataset, leaked, "show test images or signs of {}", "; --keep-leaked keeps them")
        found.append(dataset)
    return found


def _digests(dataset: Dataset, progress: ProgressCallback) -> dict[str, str]:
    """Returns the sha256 of each image's bytes, by its path."""
    read: Callable[[Sample], str] = lambda sample: hashlib.sha256(dataset.read(sample)).hexdigest()  # noqa: E731
    found: dict[str, str] = {}
    for sample, digest in zip(dataset.samples, map_in_threads(read, dataset.samples), strict=True):
        found[sample.image] = digest
        progress(f"looking for repeats in {dataset.name}", len(found), len(dataset.samples))
    return found


def _owners(
    data_sets: Sequence[Dataset], digests: Sequence[Mapping[str, str]]
) -> tuple[dict[str, str], dict[str, str], dict[str, tuple[str, int]]]:
    """Maps sha256 to the benchmark with this test image, to that with this training image, and to the newest entry."""
    tests: dict[str, str] = {}
    trains: dict[str, str] = {}
    newest: dict[str, tuple[str, int]] = {}
    for position, (dataset, found) in enumerate(zip(data_sets, digests, strict=True)):
        for sample in dataset.samples:
            digest = found[sample.image]
            if dataset.kind == FEEDBACK:
                newest[digest] = max(newest.get(digest, ("", -1)), (entry_of(sample), position))
            else:
                (tests if sample.split == "test" else trains)[digest] = dataset.name
    return tests, trains, newest


def _test_looks(data_sets: Sequence[Dataset], progress: ProgressCallback) -> dict[str, _Looks]:
    return {
        dataset.name: _look(dataset, samples, f"comparing {dataset.kind} test images with feedback", progress)
        for dataset in data_sets
        if dataset.kind != FEEDBACK and (samples := dataset.split("test"))
    }


def _look(dataset: Dataset, samples: Sequence[Sample], what: str, progress: ProgressCallback) -> _Looks:
    def look(sample: Sample, image: Image.Image) -> list[npt.NDArray[np.uint8]]:
        signs = [crop(image, (box.left, box.top, box.right, box.bottom), SIDE) for box in sample.boxes]
        return [resize(image, SIDE), *signs]

    seen, fingerprint = read_images(dataset, samples, look, lambda *counts: progress(what, *counts))
    signs = [sign for _, *signs in seen for sign in signs]
    boxes = [(box, sample.image) for sample in samples for box in sample.boxes]
    return _Looks(
        Crops(
            np.stack([picture for picture, *_ in seen]),
            np.zeros(len(samples), np.int64),
            tuple(sample.image for sample in samples),
            fingerprint,
        ),
        Crops(
            np.array(signs, np.uint8).reshape(-1, SIDE, SIDE, 3),  # also without signs
            np.array([box.class_id for box, _ in boxes], np.int64),
            tuple(image for _, image in boxes),
            fingerprint,
        ),
    )


def _leave_out(dataset: Dataset, images: Mapping[str, str], what: str, advice: str = "") -> Dataset:
    """Removes images and adds a notice with the reason `what`; `{}` in it stands for the values of `images`."""
    dropped = [sample for sample in dataset.samples if sample.image in images]
    if not dropped:
        return dataset
    what = what.format(" and ".join(sorted({images[sample.image] for sample in dropped})))
    notice = f"entries that {what} are left out: {len(dropped)}, such as {entry_of(dropped[0])}{advice}"
    kept = tuple(sample for sample in dataset.samples if sample.image not in images)
    return replace(dataset, samples=kept, notices=(*dataset.notices, notice))
