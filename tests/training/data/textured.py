"""Small whole copies of GTSDB and GTSRB in which no two signs look alike, for tests that plant one defect each."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from traffic_signs.classes import NUM_CLASSES

SIGN, BORDER = 32, 4
TILE = SIGN + 2 * BORDER
COLUMNS = 7
SCENE_SIDE = COLUMNS * TILE
KAGGLE_HEADER = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n"
ROI = f"{BORDER},{BORDER},{BORDER + SIGN - 1},{BORDER + SIGN - 1}"


def texture(seed: int, side: int = TILE) -> npt.NDArray[np.uint8]:
    """Returns smooth random colours, uint8 [side, side, 3]: another seed, another picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def tile(class_id: int) -> tuple[int, int]:
    """Returns left and top of the place that the sign of a class and its border have in a scene."""
    return TILE * (class_id % COLUMNS), TILE * (class_id // COLUMNS)


def write_scenes(parent: Path) -> Path:
    """Writes `FullIJCNN2013/`: in each split a scene with a sign of every class, in training one without signs."""
    folder = parent / "FullIJCNN2013"
    folder.mkdir()
    lines = []
    for number, seed in (("00000", 1000), ("00600", 2000)):
        scene = np.zeros((SCENE_SIDE, SCENE_SIDE, 3), np.uint8)
        for class_id in range(NUM_CLASSES):
            left, top = tile(class_id)
            scene[top : top + TILE, left : left + TILE] = texture(seed + class_id)
            corner, end = (left + BORDER, top + BORDER), (left + BORDER + SIGN - 1, top + BORDER + SIGN - 1)
            lines.append(f"{number}.ppm;{corner[0]};{corner[1]};{end[0]};{end[1]};{class_id}\n")
        Image.fromarray(scene).save(folder / f"{number}.png")
    Image.fromarray(texture(1, SCENE_SIDE)).save(folder / "00001.png")
    (folder / "gt.txt").write_text("".join(lines))
    return folder


def write_tracks(parent: Path) -> Path:
    """Writes `GTSRB/` in Kaggle's layout: a track of two frames and a test image of every class."""
    folder = parent / "GTSRB"
    train, test = [KAGGLE_HEADER], [KAGGLE_HEADER]
    (folder / "Test").mkdir(parents=True)
    for class_id in range(NUM_CLASSES):
        (folder / "Train" / str(class_id)).mkdir(parents=True)
        for frame in range(2):
            name = f"Train/{class_id}/{class_id:05d}_00000_{frame:05d}.png"
            Image.fromarray(texture(3000 + class_id) // (frame + 1)).save(folder / name)
            train.append(f"{TILE},{TILE},{ROI},{class_id},{name}\n")
        name = f"Test/{class_id:05d}.png"
        Image.fromarray(texture(4000 + class_id)).save(folder / name)
        test.append(f"{TILE},{TILE},{ROI},{class_id},{name}\n")
    (folder / "Train.csv").write_text("".join(train))
    (folder / "Test.csv").write_text("".join(test))
    return folder


def leak(scenes: Path, tracks: Path, class_id: int) -> str:
    """Makes one frame of a class's track show the sign of that class in the test scene, brighter and in JPEG.

    Returns:
        The name of the track.
    """
    left, top = tile(class_id)
    with Image.open(scenes / "00600.png") as scene:
        sign = np.asarray(scene.crop((left, top, left + TILE, top + TILE)))
    frame = tracks / "Train" / str(class_id) / f"{class_id:05d}_00000_00001.png"
    frame.unlink()
    bright = (sign * 0.9 + 20).clip(0, 255).astype(np.uint8)
    Image.fromarray(bright).save(frame.with_suffix(".jpg"), quality=80)
    return f"{class_id:05d}_00000"
