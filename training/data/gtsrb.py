"""Reader of GTSRB, the German Traffic Sign Recognition Benchmark (Stallkamp et al., Neural Networks 2012).

Each image shows one sign with a border of about 10%. One physical sign was filmed about 30 times: those images are
one track, and a split must never divide it. Two layouts are on people's disks:

- official: `Final_Training/Images/000NN/{TTTTT_FFFFF.ppm, GT-000NN.csv}` and `Final_Test/Images/*.ppm` with
  `GT-final_test.csv`, whose columns are separated by `;`;
- the Kaggle copy: `Train.csv` and `Test.csv`, separated by `,`, with a path column, and
  `Train/<class>/<class>_<track>_<frame>.png`.

Images are listed from the CSV files: the Kaggle copy has stray files among its images. The region of interest is
inclusive on the right and bottom.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from training.data.classes import NUM_CLASSES
from training.data.records import Box, Dataset, Sample, Split
from training.data.source import Source, open_source
from training.errors import DataError

IMAGE_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg")
COLUMNS = ("Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")


def load_gtsrb(path: Path) -> Dataset:
    """Reads the labels of a GTSRB folder or zip, in the official layout or Kaggle's.

    Args:
        path: the folder or zip; the training part, the test part or both may be in it.

    Raises:
        DataError: there is no GTSRB at `path`, or a label cannot be right; the message names the line.
    """
    source = open_source(path)
    names = set(source.names())
    samples: list[Sample] = []
    absent: list[str] = []
    for label_file in sorted(names):
        split = _split_of(PurePosixPath(label_file).name)
        if split is None:
            continue
        for sample, is_there in _read_labels(source, label_file, split, names):
            if is_there:
                samples.append(sample)
            else:
                absent.append(sample.image)
    if not samples:
        raise DataError(
            f"{path} is not GTSRB: it holds no images listed in Train.csv, Test.csv, GT-000NN.csv or "
            "GT-final_test.csv. Give the unpacked benchmark or its Kaggle copy"
        )
    notices = (f"{len(absent)} listed images are not here, such as {absent[0]}",) if absent else ()
    return Dataset(f"gtsrb={path.name}", tuple(samples), lambda sample: source.read(sample.image), notices)


def _split_of(file_name: str) -> Split | None:
    if file_name == "Train.csv" or re.fullmatch(r"GT-\d{5}\.csv", file_name):
        return "train"
    if file_name in ("Test.csv", "GT-final_test.csv"):
        return "test"
    return None


def _read_labels(source: Source, label_file: str, split: Split, names: set[str]) -> Iterator[tuple[Sample, bool]]:
    """Yields each labelled sample, and whether its image is there."""
    folder = PurePosixPath(label_file).parent
    text = source.read(label_file).decode("utf-8-sig", errors="replace")
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter)
    image_column = "Path" if "Path" in (rows.fieldnames or ()) else "Filename"
    missing = {*COLUMNS, image_column} - set(rows.fieldnames or ())
    if missing:
        raise DataError(f"{source.path}: {label_file} has no column {', '.join(sorted(missing))}")
    for number, row in enumerate(rows, start=2):
        where = f"{source.path}: {label_file} line {number}"
        box = _parse_box(where, row)
        image = _find_image(folder / str(row[image_column]), names)
        track = _track(PurePosixPath(image).stem, box.class_id) if split == "train" else None
        if split == "train" and track is None:
            raise DataError(f"{where}: {image} has no track in its name; expected TTTTT_FFFFF or CCCCC_TTTTT_FFFFF")
        yield Sample(image, split, (box,), track), image in names


def _parse_box(where: str, row: dict[str, str]) -> Box:
    try:
        left, top, right, bottom, class_id = (int(row[column]) for column in COLUMNS)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} has a field that is not a whole number: {list(row.values())}") from error
    if not 0 <= class_id < NUM_CLASSES:
        raise DataError(f"{where} has class {class_id}; ids are 0 to {NUM_CLASSES - 1}")
    if right < left or bottom < top or min(left, top) < 0:
        raise DataError(f"{where} has a box without area or outside the image: {left, top, right, bottom}")
    return Box(left, top, right + 1, bottom + 1, class_id)


def _find_image(path: PurePosixPath, names: set[str]) -> str:
    """Returns the image as listed, or under the suffix that this copy of the data has."""
    for candidate in (path, *(path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)):
        if candidate.as_posix() in names:
            return candidate.as_posix()
    return path.as_posix()


def _track(stem: str, class_id: int) -> str | None:
    match = re.fullmatch(r"(?:\d{5}_)?(\d{5})_\d{5}", stem)
    return f"{class_id:05d}_{match[1]}" if match else None
