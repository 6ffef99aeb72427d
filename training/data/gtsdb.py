"""Reader of GTSDB, the German Traffic Sign Detection Benchmark (Houben et al., IJCNN 2013).

`gt.txt` has no header and one line per box: `00000.ppm;left;top;right;bottom;classId`, all inclusive. Scenes
without signs have no line. Scenes 00000 to 00599 are the training split, 00600 to 00899 the test split. Copies
often contain JPEG or PNG images under the same numbers, so a scene is found by its number, not by its file name.
The reader supports these layouts:

- `FullIJCNN2013/`: all scenes and `gt.txt`;
- `TrainIJCNN2013/`: the training scenes and their `gt.txt`;
- `TestIJCNN2013Download/`: the test scenes without labels, numbered from 00000 again;
- the Kaggle copy, `GTSDB_Train_and_Test/{Train,Test}/{images,labels}` (`training.data.gtsdb_kaggle`).

Labels come from a `gt.txt` inside, or else from one beside the folder or zip. A split that no `gt.txt` mentions is
unlabelled.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from traffic_signs.classes import NUM_CLASSES
from training.data.gtsdb_kaggle import check_numbering, find_label_files, read_kaggle_labels
from training.data.records import Box, Dataset, Sample, Split
from training.data.source import FolderSource, Source, inner_archive, open_source
from training.errors import DataError

FIRST_TEST_SCENE = 600
SCENES = 900
IMAGE_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg")
ADVICE = "put the official gt.txt (it is in FullIJCNN2013.zip) into the folder, or beside the folder or zip"


@dataclass(frozen=True)
class _SceneFolder:
    """A folder of numbered scenes."""

    path: PurePosixPath  # inside the data set
    images: dict[str, str]  # path of each image by the five digits of its name
    split: Split | None = None  # of all images; None if their numbers determine it
    labels: PurePosixPath | None = None  # Kaggle's folder of labels for these images; None for the official layouts


@dataclass(frozen=True)
class _Labels:
    """Boxes by scene number, their splits and files, and notices about them."""

    boxes: dict[str, tuple[Box, ...]]
    splits: frozenset[Split]
    files: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def load_gtsdb(path: Path) -> Dataset:
    """Reads the labels of a GTSDB folder or zip; images are read later, one by one.

    `path` is the folder or zip with `gt.txt`, or any parent folder; the training and the test archive may be unpacked
    side by side. Raises DataError if there is no GTSDB, or for an invalid label, whose line the message names.
    """
    source = open_source(path)
    names = source.names()
    label_files = _find_label_files(source, names)
    folders = _find_scene_folders(source, names)
    _check_complete(source, label_files, folders)
    images: dict[str, str] = {}
    for folder in folders:
        for name, number in _scene_numbers(source, folder).items():
            images.setdefault(number, folder.images[name])
    official = _read_official(source, label_files, images)
    kaggle = [_read_kaggle(source, folder, official) for folder in folders]
    boxes = dict(official.boxes)
    for labels in kaggle:
        boxes |= labels.boxes
    labelled = official.splits.union(*(labels.splits for labels in kaggle))
    samples = tuple(
        Sample(image, _split_of(number), boxes.get(number, ()), labelled=_split_of(number) in labelled)
        for number, image in sorted(images.items())
    )
    notices = [notice for labels in (official, *kaggle) for notice in labels.notices]
    if labelled > official.splits:
        notices.append(f"for the labels of the benchmark, {ADVICE}: they are then used with the images of this copy")
    notices += _unlabelled(samples)
    return Dataset(f"gtsdb={source.name}", samples, lambda sample: source.read(sample.image), tuple(notices))


def holds_gtsdb(source: Source, names: Sequence[str]) -> bool:
    """Returns whether a folder or zip with the files `names` looks like GTSDB or a part of it."""
    is_labelled = any(label_source is source for label_source, _ in _find_label_files(source, names))
    return is_labelled or bool(_find_scene_folders(source, names))


def _find_scene_folders(source: Source, names: Sequence[str]) -> list[_SceneFolder]:
    """Returns the folders with the scenes of one copy of GTSDB, the preferred first; empty if there is none."""
    folders = _folders_with_scenes(names)
    official = [found for folder in folders if (found := _as_official(source, folder))]
    kaggle = [found for folder in folders if (found := _as_kaggle(source, folder))]
    label_files = _find_label_files(source, names)
    if label_files and label_files[0][0] is source:
        home = PurePosixPath(label_files[0][1]).parent
        beside = [folder for folder in folders if folder.path == home]
        if beside and home not in {folder.path for folder in (*official, *kaggle)}:
            return beside
    if official:
        return official
    if kaggle:
        copy = kaggle[0].path.parent.parent
        halves = [folder for folder in kaggle if folder.path.parent.parent == copy]
        return sorted(halves, key=lambda folder: folder.split == "test")
    return [folder for folder in folders if label_files and _may_be_scenes(folder)][:1]


def _folders_with_scenes(names: Sequence[str]) -> list[_SceneFolder]:
    """Returns every folder with images whose names are numbers, the shallowest first."""
    images: dict[str, dict[str, str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        number, suffix = file[:5], file[5:]
        if suffix.lower() in IMAGE_SUFFIXES and re.fullmatch("[0-9]{5}", number):
            images.setdefault(folder, {})[number] = name
    folders = [_SceneFolder(PurePosixPath(folder), images[folder]) for folder in images]
    return sorted(folders, key=lambda folder: (len(folder.path.parts), folder.path))


def _as_official(source: Source, folder: _SceneFolder) -> _SceneFolder | None:
    match = re.match("(full|train|test)ijcnn2013", _path_from_outside(source, folder.path).name, re.IGNORECASE)
    if match is None:
        return None
    return _SceneFolder(folder.path, folder.images, "test" if match[1].lower() == "test" else None)


def _as_kaggle(source: Source, folder: _SceneFolder) -> _SceneFolder | None:
    parts = [part.lower() for part in _path_from_outside(source, folder.path).parts[-2:]]
    if not _may_be_scenes(folder):
        return None
    labels = folder.path.parent / "labels"
    if parts == ["train", "images"]:
        return _SceneFolder(folder.path, folder.images, "train", labels)
    return _SceneFolder(folder.path, folder.images, "test", labels) if parts == ["test", "images"] else None


def _path_from_outside(source: Source, folder: PurePosixPath) -> PurePosixPath:
    """Returns the path including the name of the folder or zip: users also give the innermost folder."""
    return PurePosixPath(source.path.absolute().stem) / folder


def _may_be_scenes(folder: _SceneFolder) -> bool:
    """Returns whether the images can be scenes: neither GTSRB's thousands nor GTSDB's crops in `00` to `42`."""
    return max(folder.images) < f"{SCENES:05d}" and not re.fullmatch("[0-9]{1,2}", folder.path.name)


def _find_label_files(source: Source, names: Sequence[str]) -> list[tuple[Source, str]]:
    """Returns every `gt.txt` inside, the shallowest first, then the one beside the folder or zip."""
    inside = sorted((name for name in names if name.rpartition("/")[2] == "gt.txt"), key=lambda n: (n.count("/"), n))
    parent = source.path.absolute().parent
    beside: list[tuple[Source, str]] = [(FolderSource(parent), "gt.txt")] if (parent / "gt.txt").is_file() else []
    return [*((source, name) for name in inside), *beside]


def _check_complete(source: Source, label_files: Sequence[tuple[Source, str]], folders: Sequence[_SceneFolder]) -> None:
    if not folders and label_files and label_files[0][0] is source:
        raise DataError(
            f"{source.path} has {label_files[0][1]} but no scene images beside it: unpack the whole data set"
        )
    if not folders or (not label_files and any(folder.split is None for folder in folders)):
        raise DataError(
            f"{source.path} is not GTSDB: it holds no gt.txt. Give the FullIJCNN2013 folder or FullIJCNN2013.zip, "
            f"or Kaggle's GTSDB_Train_and_Test{inner_archive(source.names())}"
        )


def _split_of(number: str) -> Split:
    return "train" if int(number) < FIRST_TEST_SCENE else "test"


def _scene_numbers(source: Source, folder: _SceneFolder) -> dict[str, str]:
    """Returns the benchmark's number of each scene by the number in its name; test archives may start from 00000."""
    from_zero = folder.split == "test" and int(max(folder.images)) < SCENES - FIRST_TEST_SCENE
    first = FIRST_TEST_SCENE if from_zero else 0
    numbers = {name: f"{int(name) + first:05d}" for name in folder.images}
    for name, number in numbers.items():
        if folder.split is not None and _split_of(number) != folder.split:
            expected = "00000 to 00599" if folder.split == "train" else "00000 to 00299, or 00600 to 00899"
            raise DataError(
                f"{source.path}: {folder.images[name]} cannot be of the {folder.split} split, whose scenes are "
                f"numbered {expected}: restore the names of the benchmark"
            )
    return numbers


def _read_official(source: Source, label_files: Sequence[tuple[Source, str]], images: Collection[str]) -> _Labels:
    """Reads each `gt.txt` until every split has labels; the first one for a split counts."""
    wanted = {_split_of(number) for number in images}
    boxes: dict[str, tuple[Box, ...]] = {}
    splits: set[Split] = set()
    files: list[str] = []
    notices: list[str] = []
    for label_source, name in label_files:
        found = _parse_labels(label_source, name)
        new = {_split_of(number) for number in found} - splits
        if new:
            file = name if label_source is source else str(label_source.path / name)
            files.append(file)
            boxes |= {number: tuple(found[number]) for number in found if _split_of(number) in new}
            absent = sorted(number for number in found if _split_of(number) in new and number not in images)
            if label_source is not source:
                notices.append(f"labels are those of {file}")
            if absent:
                notices.append(f"{file} labels {len(absent)} scenes that are not here, such as {absent[0]}")
        splits |= new
        if splits >= wanted:
            break
    return _Labels(boxes, frozenset(splits), tuple(files), tuple(notices))


def _read_kaggle(source: Source, folder: _SceneFolder, official: _Labels) -> _Labels:
    """Reads Kaggle's labels of one split, unless there are official ones."""
    if folder.labels is None or folder.split is None or not find_label_files(source, folder.labels):
        return _Labels({}, frozenset())
    numbers = _scene_numbers(source, folder)
    if folder.split in official.splits:
        theirs = {name: official.boxes.get(number, ()) for name, number in numbers.items()}
        warning = check_numbering(source, folder.labels, folder.images, theirs)
        ignored = f"{folder.labels} is ignored in favour of {' and '.join(official.files)}: its labels are not reliable"
        return _Labels({}, frozenset(), notices=(ignored, warning) if warning else (ignored,))
    kaggle, notices = read_kaggle_labels(source, folder.labels, folder.split, folder.images)
    boxes = {numbers[name]: boxes for name, boxes in kaggle.items()}
    return _Labels(boxes, frozenset({folder.split}), notices=notices)


def _unlabelled(samples: Sequence[Sample]) -> list[str]:
    notices = []
    for split in ("train", "test"):
        count = sum(sample.split == split and not sample.labelled for sample in samples)
        if count:
            notices.append(f"the {count} scenes of the {split} split have no labels: {ADVICE}")
    return notices


def _parse_labels(source: Source, label_file: str) -> dict[str, list[Box]]:
    text = source.read(label_file).decode("utf-8-sig", errors="replace")
    boxes: dict[str, list[Box]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip(" ;\t"):  # spreadsheets leave empty lines with separators
            continue
        match = re.fullmatch(r"(\d{5})\.\w+" + 5 * r";(\d{1,6})", line.strip())
        if match is None:
            raise DataError(
                f"{source.path}: {label_file} line {number} is {line[:60]!r}; "
                "expected NNNNN.ppm;left;top;right;bottom;classId"
            )
        scene = match[1]
        left, top, right, bottom, class_id = (int(field) for field in match.groups()[1:])
        if class_id >= NUM_CLASSES:
            raise DataError(f"{source.path}: {label_file} line {number} has class {class_id}; ids are 0 to 42")
        if right < left or bottom < top:
            raise DataError(f"{source.path}: {label_file} line {number} has a box without area: {line.strip()}")
        boxes.setdefault(scene, []).append(Box(left, top, right + 1, bottom + 1, class_id))
    return boxes
