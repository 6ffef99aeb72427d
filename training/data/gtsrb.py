"""Reader of GTSRB, the German Traffic Sign Recognition Benchmark (Stallkamp et al., Neural Networks 2012).

Each image shows one sign with a border of about 10%. About 30 images of one physical sign form a track, which a split
must not divide. The reader supports three layouts:

- official: `Final_Training/Images/000NN/{TTTTT_FFFFF.ppm, GT-000NN.csv}` and `Final_Test/Images/*.ppm` with
  `GT-final_test.csv`, whose columns are separated by `;`;
- the current official archives: `GTSRB/Training/000NN/` as above, `GTSRB/Final_Test/Images/*.ppm` with
  `GT-final_test.test.csv`, which has no classes, and a separate archive with `GT-final_test.csv`, which has the classes
  and is not beside the images after unpacking;
- the Kaggle copy: `Train.csv` and `Test.csv`, separated by `,`, with a path column, and
  `Train/<class>/<class>_<track>_<frame>.png`.

The CSV files list the images, because the Kaggle copy has stray files among them. The region of interest includes its
right and bottom pixels.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from traffic_signs.classes import NUM_CLASSES
from training.data.records import Box, Dataset, Sample, Split
from training.data.source import Source, inner_archive, open_source
from training.errors import DataError

IMAGE_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg")
COLUMNS = ("Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
UNLABELLED_TEST = "GT-final_test.test.csv"


@dataclass(frozen=True)
class _Images:
    """All files of a data set, and the folders with test images that are not beside their CSV."""

    names: frozenset[str]
    test_folders: tuple[PurePosixPath, ...]

    def find(self, listed: PurePosixPath, split: Split) -> str | None:
        """Returns the listed image, also with another suffix or in another folder; None if it does not exist."""
        elsewhere = [folder / listed.name for folder in self.test_folders] if split == "test" else []
        for path in (listed, *elsewhere):
            for candidate in (path, *(path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES)):
                if candidate.as_posix() in self.names:
                    return candidate.as_posix()
        return None


def load_gtsrb(path: Path) -> Dataset:
    """Reads the labels of a GTSRB folder or zip, in the official layouts or Kaggle's.

    Raises DataError if there is no GTSRB at `path`, or for an invalid label, whose line the message names.
    """
    source = open_source(path)
    names = source.names()
    images = _Images(frozenset(names), _test_folders(source, names))
    label_files = _without_doubles(find_label_files(names))
    samples: dict[str, Sample] = {}
    absent: list[str] = []
    notices: list[str] = []
    for label_file, split in label_files.items():
        listed = list(_read_labels(source, label_file, split, images))
        if not listed:
            notices.append(f"{label_file} lists no images: restore the file")
        for sample, is_there in listed:
            if is_there:  # a test image may be listed in two CSV files
                if samples.setdefault(sample.image, sample) != sample:
                    raise DataError(
                        f"{source.path}: {label_file} lists {sample.image} with another sign than the first time: "
                        "keep the right line"
                    )
            else:
                absent.append(sample.image)
    if not samples:
        raise DataError(
            f"{path} is not GTSRB: it holds no images listed in Train.csv, Test.csv, GT-000NN.csv or "
            f"GT-final_test.csv. Give the unpacked benchmark or its Kaggle copy{inner_archive(names)}"
        )
    found = tuple(samples.values())
    notices += _notices(found, absent)
    return Dataset(f"gtsrb={source.name}", found, lambda sample: source.read(sample.image), tuple(notices))


def find_label_files(names: Sequence[str]) -> dict[str, Split]:
    """Returns GTSRB's CSV files among `names` with the split of each."""
    splits = {name: _split_of(name.rpartition("/")[2]) for name in names}
    return {name: split for name, split in splits.items() if split is not None}


def _split_of(file_name: str) -> Split | None:
    if file_name == "Train.csv" or re.fullmatch(r"GT-\d{5}\.csv", file_name):
        return "train"
    if file_name in ("Test.csv", "GT-final_test.csv", UNLABELLED_TEST):
        return "test"
    return None


def _without_doubles(label_files: dict[str, Split]) -> dict[str, Split]:
    """Removes CSV files whose images another one lists, too.

    `Final_Training` contains all of `Training` under other track numbers: folds over both would divide tracks.
    """
    has_final = any("Final_Training" in PurePosixPath(file).parts for file in label_files)
    has_test_labels = any(split == "test" and not _is_unlabelled(file) for file, split in label_files.items())
    return {
        file: split
        for file, split in label_files.items()
        if not (has_final and "Training" in PurePosixPath(file).parts)
        and not (has_test_labels and _is_unlabelled(file))
    }


def _is_unlabelled(label_file: str) -> bool:
    return PurePosixPath(label_file).name == UNLABELLED_TEST


def _test_folders(source: Source, names: Sequence[str]) -> tuple[PurePosixPath, ...]:
    """Returns the folders `Final_Test/Images`, the shallowest first."""
    outside = source.path.absolute().stem  # users also give Final_Test itself
    folders = {name.rpartition("/")[0] for name in names}
    found = [PurePosixPath(folder) for folder in folders if f"/{outside}/{folder}".endswith("/Final_Test/Images")]
    return tuple(sorted(found, key=lambda folder: (len(folder.parts), folder)))


def _notices(samples: Sequence[Sample], absent: Sequence[str]) -> list[str]:
    notices = []
    if absent:
        notices.append(f"{len(absent)} listed images are not here, such as {absent[0]}")
    unlabelled = sum(not sample.labelled for sample in samples)
    if unlabelled:
        notices.append(
            f"the {unlabelled} test images have no labels: unpack GTSRB_Final_Test_GT.zip into the same folder, "
            "which holds GT-final_test.csv"
        )
    return notices


def _read_labels(source: Source, label_file: str, split: Split, images: _Images) -> Iterator[tuple[Sample, bool]]:
    """Yields each listed sample, and whether its image exists."""
    folder = PurePosixPath(label_file).parent
    text = source.read(label_file).decode("utf-8-sig", errors="replace")
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.DictReader(text.splitlines(), delimiter=delimiter)
    image_column = "Path" if "Path" in (rows.fieldnames or ()) else "Filename"
    labelled = not _is_unlabelled(label_file)
    missing = {*(COLUMNS if labelled else ()), image_column} - set(rows.fieldnames or ())
    if missing:
        raise DataError(f"{source.path}: {label_file} has no column {', '.join(sorted(missing))}: restore the file")
    for row in _rows(rows, f"{source.path}: {label_file}"):
        where = f"{source.path}: {label_file} line {rows.line_num}"
        listed = folder / _listed_path(where, row[image_column])
        image = images.find(listed, split)
        boxes = (_parse_box(where, row),) if labelled else ()
        track = next((_track(listed.stem, box.class_id) for box in boxes if split == "train"), None)
        if split == "train" and track is None:
            raise DataError(f"{where}: {listed} has no track in its name; expected TTTTT_FFFFF or CCCCC_TTTTT_FFFFF")
        yield Sample(image or listed.as_posix(), split, boxes, track, labelled), image is not None


def _rows(rows: "csv.DictReader[str]", where: str) -> Iterator[dict[str, str]]:
    try:
        for row in rows:  # skips rows that a spreadsheet has left empty
            fields = (field if isinstance(field, str) else "".join(field or ()) for field in row.values())
            if "".join(fields).strip(" ;,\t"):
                yield row
    except csv.Error as error:  # such as an unclosed quote
        raise DataError(
            f"{where} is not a complete table, after line {rows.line_num} ({error}): restore the file"
        ) from error


def _listed_path(where: str, field: str | None) -> PurePosixPath:
    path = PurePosixPath((field or "").strip().replace("\\", "/"))  # written on Windows
    if not path.name:
        raise DataError(f"{where} names no image: {field!r}")
    return path


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


def _track(stem: str, class_id: int) -> str | None:
    match = re.fullmatch(r"(?:\d{5}_)?(\d{5})_\d{5}", stem)
    return f"{class_id:05d}_{match[1]}" if match else None
