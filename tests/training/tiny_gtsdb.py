"""A GTSDB of seven drawn scenes, as a folder and as a zip."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.records import Box

# Signs are squares of one colour, a colour for each class.
COLOURS: dict[int, tuple[int, int, int]] = {
    1: (210, 30, 30),
    12: (230, 200, 40),
    14: (140, 20, 90),
    38: (30, 80, 210),
}

Label = tuple[int, int, int, int, int]

# By scene number, inclusive as in gt.txt: left, top, right, bottom, class.
LABELS: dict[str, tuple[Label, ...]] = {
    "00000": ((10, 12, 33, 35, 1), (60, 20, 79, 39, 12)),
    "00001": (),
    "00002": ((40, 30, 65, 57, 38),),
    "00003": ((5, 40, 28, 63, 14), (70, 10, 95, 37, 1)),
    "00004": ((90, 50, 119, 79, 38), (30, 8, 51, 29, 12), (58, 44, 75, 61, 14)),
    "00600": ((20, 20, 43, 43, 1), (64, 30, 89, 55, 38)),
    "00601": ((33, 15, 60, 42, 12),),
}
SCENE_SIZE = (140, 90)


@dataclass(frozen=True)
class TinyGtsdb:
    """The same data set twice, and what a reader must make of its labels."""

    folder: Path
    zip: Path
    boxes: dict[str, tuple[Box, ...]]


def write_tiny_gtsdb(parent: Path) -> TinyGtsdb:
    """Writes `FullIJCNN2013/` and `FullIJCNN2013.zip`."""
    folder = parent / "FullIJCNN2013"
    folder.mkdir()
    lines = []
    for number, labels in LABELS.items():
        (folder / f"{number}.jpg").write_bytes(_scene(int(number), labels))
        lines += [f"{number}.ppm;{';'.join(str(field) for field in label)}\n" for label in labels]
    (folder / "gt.txt").write_text("".join(lines))
    (folder / "ReadMe.txt").write_text("drawn for tests\n")
    boxes = {
        number: tuple(Box(left, top, right + 1, bottom + 1, class_id) for left, top, right, bottom, class_id in labels)
        for number, labels in LABELS.items()
    }
    return TinyGtsdb(folder, zip_folder(folder), boxes)


def zip_folder(folder: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Packs a folder with its name as the root, as GTSDB's own archives are packed."""
    path = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.mkdir(folder.name)
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{folder.name}/{file.relative_to(folder).as_posix()}")
    return path


def _scene(seed: int, labels: tuple[Label, ...]) -> bytes:
    width, height = SCENE_SIZE
    pixels = np.random.default_rng(seed).integers(90, 150, (height, width, 3), dtype=np.uint8)
    for left, top, right, bottom, class_id in labels:
        pixels[top : bottom + 1, left : right + 1] = COLOURS[class_id]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
