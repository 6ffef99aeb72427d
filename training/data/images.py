"""Decodes the images of a data set in threads and computes a fingerprint."""

import hashlib
import io
import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from PIL import ExifTags, Image

from traffic_signs.preprocessing import ImageError, decode
from training.data.records import FEEDBACK, Dataset, Sample, Split
from training.data.source import Source
from training.data.threads import map_in_threads
from training.errors import DataError

Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # called with (items done, items in total)


def silent(done: int, total: int) -> None:
    """Ignores progress."""


def no_signs(dataset: Dataset, split: Split) -> DataError:
    """Returns the error for a split without labelled signs."""
    if dataset.kind == FEEDBACK and split == "test":
        return DataError(f"{dataset.name} has only training data: evaluate on a benchmark, or on its training split")
    if dataset.kind == FEEDBACK:
        found = "; ".join((f"it has {len(dataset.samples)} pictures that can be used", *dataset.all_notices()))
        return DataError(f"{dataset.name} has no signs to learn from ({found}): give a benchmark as well")
    return DataError(
        f"{dataset.name} has no labelled signs in its {split} split: give the whole data set "
        "(GTSDB's training scenes are 00000 to 00599, its test scenes 00600 to 00899)"
    )


def upright_size(source: Source, name: str) -> tuple[int, int]:
    """Returns width and height in pixels of an image after EXIF orientation, from its header.

    They are 0 and 0 if the file is not an image, so that its box has no area. Whatever decodes it reports it by name.
    """
    try:
        with Image.open(io.BytesIO(source.read(name))) as picture:
            width, height = picture.size
            return (height, width) if _lies_on_its_side(picture) else (width, height)
    except (DataError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0, 0


def _lies_on_its_side(picture: Image.Image) -> bool:
    """Returns whether the EXIF orientation swaps width and height; unreadable EXIF is ignored, as in `decode`."""
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        return False


def read_images(
    dataset: Dataset,
    samples: Sequence[Sample],
    use: Callable[[Sample, Image.Image], Result],
    progress: Progress = silent,
) -> tuple[list[Result], str]:
    """Decodes images and applies a function to each.

    `use` is called with each sample and its image, and may raise ImageError. Returns its results, in order, and the
    fingerprint, a sha256 over names, boxes, classes and image bytes. Raises DataError if an image cannot be decoded, or
    `use` has raised ImageError.
    """

    def read(sample: Sample) -> tuple[Sample, Result, bytes]:
        data = dataset.read(sample)
        try:
            return sample, use(sample, decode(data)), hashlib.sha256(data).digest()
        except ImageError as error:
            raise DataError(
                f"{dataset.name}: {sample.image} cannot be used: {error}. Restore the file, or remove it and its labels"
            ) from error

    results: list[Result] = []
    digest = hashlib.sha256()
    for sample, result, image_digest in map_in_threads(read, samples):
        results.append(result)
        digest.update(f"{sample.image.rsplit('/', 1)[-1]} {sample.split} {sample.boxes}".encode())
        digest.update(image_digest)
        progress(len(results), len(samples))
    return results, digest.hexdigest()
