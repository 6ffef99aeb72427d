"""Reader of GTSDB, the German Traffic Sign Detection Benchmark (Houben et al., IJCNN 2013).

`gt.txt` has no header and one line a box: `00000.ppm;left;top;right;bottom;classId`, all inclusive. Scenes
without signs have no line. Scenes 00000 to 00599 are the training split, 00600 to 00899 the test split. Copies
often hold JPEG or PNG images under the same numbers, so a scene is found by its number, not by its file name.
"""

import re
from pathlib import Path, PurePosixPath

from training.data.classes import NUM_CLASSES
from training.data.records import Box, Dataset, Sample
from training.data.source import Source, open_source
from training.errors import DataError

FIRST_TEST_SCENE = 600
IMAGE_SUFFIXES = (".ppm", ".png", ".jpg", ".jpeg")


def load_gtsdb(path: Path) -> Dataset:
    """Reads the labels of a GTSDB folder or zip; images are read later, one at a time.

    Args:
        path: the folder or zip, or any folder above the one that holds `gt.txt`.

    Raises:
        DataError: there is no GTSDB at `path`, or a label cannot be right; the message names the line.
    """
    source = open_source(path)
    names = source.names()
    label_file = _find_labels(path, names)
    boxes = _parse_labels(source, label_file)
    root = PurePosixPath(label_file).parent
    scenes = {
        PurePosixPath(name).stem: name
        for name in names
        if PurePosixPath(name).parent == root
        and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        and re.fullmatch("[0-9]{5}", PurePosixPath(name).stem)
    }
    if not scenes:
        raise DataError(f"{path} has {label_file} but no scene images beside it: unpack the whole data set")
    samples = tuple(
        Sample(
            image=name,
            split="train" if int(number) < FIRST_TEST_SCENE else "test",
            boxes=tuple(boxes.get(number, ())),
        )
        for number, name in sorted(scenes.items())
    )
    absent = sorted(set(boxes) - set(scenes))
    notices = (f"{label_file} labels {len(absent)} scenes that are not here, such as {absent[0]}",) if absent else ()
    return Dataset(f"gtsdb={path.name}", samples, lambda sample: source.read(sample.image), notices)


def _find_labels(path: Path, names: list[str]) -> str:
    candidates = [name for name in names if PurePosixPath(name).name == "gt.txt"]
    if not candidates:
        raise DataError(f"{path} is not GTSDB: it holds no gt.txt. Give the FullIJCNN2013 folder or FullIJCNN2013.zip")
    return min(candidates, key=lambda name: (name.count("/"), name))


def _parse_labels(source: Source, label_file: str) -> dict[str, list[Box]]:
    text = source.read(label_file).decode("utf-8-sig", errors="replace")
    boxes: dict[str, list[Box]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
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
