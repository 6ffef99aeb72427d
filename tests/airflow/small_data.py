"""A GTSDB of four easy classes, small enough to train on in seconds: each is a colour and a pattern in it."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

SIGNS, SIDE, STEP, TOP = 5, 24, 27, 30  # signs a scene; pixels
LOOKS = {
    1: ((210, 30, 30), "rows"),
    12: ((230, 200, 40), "middle"),
    14: ((20, 130, 60), "corner"),
    38: ((30, 80, 210), "columns"),
}


def write_small_gtsdb(folder: Path, train: int = 40, test: int = 20, swapped: bool = False) -> Path:
    """Writes the data set and returns its folder.

    Args:
        folder: to be made.
        train: scenes to learn from.
        test: number of test scenes; the same number gives the same scenes.
        swapped: every sign of the training scenes is labelled as another class.
    """
    folder.mkdir(parents=True)
    class_ids, lines = list(LOOKS), []
    for first, scenes in ((0, train), (600, test)):
        for scene in range(scenes):
            name = f"{first + scene:05}"
            pixels = np.random.default_rng(first + scene).integers(90, 150, (90, STEP * SIGNS, 3), dtype=np.uint8)
            for number in range(SIGNS):
                shown = (scene * SIGNS + number) % len(class_ids)
                labelled = (shown + 1) % len(class_ids) if swapped and not first else shown
                left = STEP * number + 1
                pixels[TOP : TOP + SIDE, left : left + SIDE] = _sign(class_ids[shown], scene + number)
                box = f"{left};{TOP};{left + SIDE - 1};{TOP + SIDE - 1}"
                lines.append(f"{name}.ppm;{box};{class_ids[labelled]}\n")
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
            (folder / f"{name}.jpg").write_bytes(buffer.getvalue())
    (folder / "gt.txt").write_text("".join(lines))
    return folder


def _sign(class_id: int, seed: int) -> npt.NDArray[np.uint8]:
    """Returns a sign, uint8 [SIDE, SIDE, 3]; another seed makes it lighter or darker."""
    colour, pattern = LOOKS[class_id]
    sign = np.empty((SIDE, SIDE, 3), np.uint8)
    sign[:] = colour
    white = np.zeros((SIDE, SIDE), bool)
    quarter = SIDE // 4
    if pattern == "rows":
        white[quarter : 2 * quarter] = white[3 * quarter :] = True
    elif pattern == "columns":
        white[:, quarter : 2 * quarter] = white[:, 3 * quarter :] = True
    elif pattern == "middle":
        white[quarter : 3 * quarter, quarter : 3 * quarter] = True
    else:
        white[: 2 * quarter, : 2 * quarter] = True
    sign[white] = 245
    light = np.random.default_rng(seed).uniform(0.7, 1.0)
    return (sign * light).astype(np.uint8)
