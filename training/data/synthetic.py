"""Draws a data set of street scenes with traffic signs, in the format of GTSDB.

The scenes are for demonstrations and for training without photographs. Figures measured on them hold only for drawings.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from traffic_signs.atomic_write import atomic_folder
from traffic_signs.classes import NUM_CLASSES
from training.data.images import Progress, silent
from training.data.synthetic_objects import furnish
from training.data.synthetic_sign import MAX_SIZE, MIN_SIZE, SignPatch, draw_sign, motion_kernel
from training.data.synthetic_street import FOLIAGE, Field, Image, Street, foliage, noise, paint_street, pick, rectangle

FIRST_TEST_SCENE = 600
LAST_TEST_SCENE = 899
# One scene in every block of this many has no sign.
EMPTY_BLOCK = 20
MEDIAN_SIZE = 38.0
# Spawn keys of the random streams; changing them would change the data set of every seed.
_SPLIT_KEYS = {"train": 0, "test": 1}
_LOOKS, _DECK, _EMPTY = 0, 1, 2


def draw_scene(
    class_ids: Sequence[int], rng: np.random.Generator, width: int = 1360, height: int = 800
) -> tuple[npt.NDArray[np.uint8], list[tuple[int, int, int, int]]]:
    """Draws a street scene with one sign for every class id.

    Returns:
        The picture, uint8 [height, width, 3], RGB, and for every sign, in the order of ``class_ids``, the box
        around its visible plate: (left, top, right, bottom) in pixels, right and bottom exclusive. Long sides
        are 16 to 128 pixels.

    Raises:
        ValueError: a class id is not from 0 to 42, or the picture is too small for so many signs.
    """
    street = paint_street(rng, width, height)
    furnish(street, rng)
    # Large signs first: they are the hardest to find room for.
    patches = [draw_sign(class_id, rng, _size(rng, width, height)) for class_id in class_ids]
    order = sorted(range(len(patches)), key=lambda k: -patches[k].plate.shape[0])
    taken: list[tuple[float, float, float, float]] = []
    boxes: dict[int, tuple[int, int, int, int]] = {}
    for k in order:
        boxes[k] = _find_room(patches[k], taken, rng, street)
    # All poles come before all plates, so that no pole ever hides another sign.
    for k in reversed(order):
        mount(street, patches[k], boxes[k], rng)
    for k in reversed(order):
        paste(street.image, patches[k], boxes[k])
    return _photograph(street, rng), [boxes[k] for k in range(len(patches))]


def _size(rng: np.random.Generator, width: int, height: int) -> float:
    """Returns the long side of a sign in pixels."""
    largest = min(MAX_SIZE, min(width, height) / 4)
    size = MEDIAN_SIZE * np.exp(rng.normal(0, 0.52))
    # Folding the tails back keeps them from piling up at the limits.
    if not MIN_SIZE <= size <= largest:
        size = np.exp(rng.uniform(np.log(MIN_SIZE), np.log(max(largest, MIN_SIZE + 1))))
    return float(size)


def _find_room(
    patch: SignPatch, taken: list[tuple[float, float, float, float]], rng: np.random.Generator, street: Street
) -> tuple[int, int, int, int]:
    """Returns a free place for the plate and adds it, with space for its mount, to ``taken``."""
    height, width = street.image.shape[:2]
    left, top, right, bottom = patch.box
    w, h = right - left, bottom - top
    for _ in range(400):
        x = int(rng.integers(1, max(width - w - 1, 2)))
        y = int(np.clip(rng.normal(street.horizon - 0.1 * height, 0.11 * height), 1, max(height - h - 1, 1)))
        room = (x - 0.25 * w, y - 0.25 * h, x + 1.25 * w, y + 1.75 * h)
        if any(room[0] < t[2] and t[0] < room[2] and room[1] < t[3] and t[1] < room[3] for t in taken):
            continue
        if x + w < width and y + h < height:
            taken.append(room)
            return x, y, x + w, y + h
    raise ValueError(f"a picture of {width} x {height} pixels has no room for so many signs")


def mount(street: Street, patch: SignPatch, box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    """Paints the surroundings of a sign: pole, leaves, backing board and additional plate."""
    size = max(box[2] - box[0], box[3] - box[1])
    shade = street.light * np.float32(0.25 + 0.75 * min(patch.gain, 1.4))
    if rng.random() < 0.3:
        # A sign in the shade usually has shaded leaves behind it.
        x, y = (box[0] + box[2]) / 2 + rng.normal(0, 0.5) * size, box[1] + rng.uniform(0.5, 1.2) * size
        rx, ry = size * rng.uniform([0.8, 1.0], [2.0, 2.4])
        foliage(street.image, rng, x, y, rx, ry, pick(rng, FOLIAGE) * shade)
    if rng.random() < 0.85:
        _pole(street, box, size, shade, rng)
    if rng.random() < 0.08:
        board = np.clip(pick(rng, [(230, 230, 230), (60, 62, 64), (240, 200, 40)]) * shade, 0, 255)
        margin = size * rng.uniform(0.04, 0.2)
        wide, tall = box[2] - box[0] + 2 * margin, box[3] - box[1] + 2 * margin
        rectangle(street.image, box[0] - margin, box[1] - margin, wide, tall, board)
    if rng.random() < 0.2:
        _small_print(street, box, size, shade, rng)


def _pole(street: Street, box: tuple[int, int, int, int], size: float, shade: Field, rng: np.random.Generator) -> None:
    """Paints the pole of a sign from behind the plate, or above it, down to the ground."""
    steel = np.clip(pick(rng, [(150, 154, 156), (110, 112, 112), (186, 188, 188)]) * shade, 0, 255)
    thick = max(1.2, size * rng.uniform(0.06, 0.13))
    x, head = (box[0] + box[2] - thick) / 2, box[1] + size * float(rng.choice([0.3, -0.2]))
    foot = max(box[3] + size * rng.uniform(1.8, 3.5), street.horizon + size * rng.uniform(0.3, 0.8))
    rectangle(street.image, x, head, thick, foot - head, steel)
    # The side towards the light.
    rectangle(street.image, x + thick / 4, head, thick / 4, foot - head, np.clip(steel * np.float32(1.3), 0, 255))


def _small_print(
    street: Street, box: tuple[int, int, int, int], size: float, shade: Field, rng: np.random.Generator
) -> None:
    """Paints a white plate with bars for writing below a sign."""
    white = np.clip(np.array([228, 228, 226], np.float32) * shade, 0, 255)
    x, y, tall = (box[0] + box[2]) / 2, box[3] + 0.06 * size, size * rng.uniform(0.25, 0.45)
    rectangle(street.image, x - 0.42 * size, y, 0.84 * size, tall, white)
    for row in range(int(rng.integers(1, 3))):
        bar = (x - 0.3 * size, y + tall * (0.2 + 0.35 * row), size * rng.uniform(0.3, 0.6), tall * 0.2)
        rectangle(street.image, *bar, white * np.float32(0.2))


def paste(image: Image, patch: SignPatch, box: tuple[int, int, int, int]) -> None:
    """Pastes the patch so that its plate fills ``box``, clipped at the picture's edges."""
    x, y = box[0] - patch.box[0], box[1] - patch.box[1]
    h, w = patch.rgba.shape[:2]
    rows, columns = (slice(max(-y, 0), min(image.shape[0] - y, h)), slice(max(-x, 0), min(image.shape[1] - x, w)))
    source = patch.rgba[rows, columns].astype(np.float32)
    target = image[y + rows.start : y + rows.stop, x + columns.start : x + columns.stop]
    alpha = source[..., 3:] / 255
    target[:] = np.round(target + (source[..., :3] - target) * alpha).astype(np.uint8)


def _photograph(street: Street, rng: np.random.Generator) -> Image:
    """Adds the effects of a car's camera: blur, exposure, colour cast, vignette and noise."""
    image = street.image
    height, width = image.shape[:2]
    if rng.random() < 0.12:
        kernel = motion_kernel(rng.uniform(2, 7), rng.normal(0, 20))
        image = np.asarray(cv2.filter2D(image, -1, kernel), np.uint8)
    elif rng.random() < 0.6:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.9))), np.uint8)
    if rng.random() < 0.4:
        image = _fringed(image, 1 + float(rng.uniform(0.0005, 0.0015)))
    picture = image.astype(np.float32)
    across = (np.arange(width, dtype=np.float32) / width - 0.5) ** 2
    down = (np.arange(height, dtype=np.float32) / height - 0.5) ** 2
    vignette = 1 - np.float32(rng.uniform(0, 0.7)) * (across[None, :] + down[:, None])
    # A camera's exposure compensates part of the missing light.
    opening = float(np.clip(np.exp(rng.normal(0.1, 0.25)) / street.light.mean() ** 0.5, 0.4, 1.5))
    exposure = opening * (1 + rng.normal(0, 0.01, 3))
    picture *= vignette[..., None]
    picture *= exposure.astype(np.float32)
    grain = np.float32(rng.uniform(0.8, 5.0))
    for channel in range(3):
        picture[..., channel] += grain * noise(rng, height, width, 1, 1)
    gamma = float(rng.uniform(0.85, 1.15))
    table = np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return np.asarray(cv2.LUT(np.clip(picture, 0, 255).astype(np.uint8), table), np.uint8)


def _fringed(image: Image, scale: float) -> Image:
    """Returns the picture with its red channel enlarged by ``scale``, the chromatic aberration of cheap lenses."""
    height, width = image.shape[:2]
    matrix = np.array([[scale, 0, width / 2 * (1 - scale)], [0, scale, height / 2 * (1 - scale)]])
    red = cv2.warpAffine(image[..., 0], matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.dstack([red, image[..., 1:]])


def write_gtsdb(
    folder: Path,
    train_scenes: int,
    test_scenes: int,
    seed: int,
    signs_per_scene: int = 5,
    progress: Progress = silent,
) -> Path:
    """Writes a drawn data set in GTSDB's layout: ``00000.jpg`` ... and ``gt.txt``; returns ``folder``.

    The same seed gives the same bytes with the same library versions. A scene depends only on the seed, its split and
    its index in the split, so a larger data set contains the smaller one. Of several processes that
    write the same folder at the same time, the first to finish succeeds.

    Args:
        folder: target folder, created with its parents; it appears when it is complete.
        train_scenes: 0 to 600, numbered from 00000.
        test_scenes: 0 to 300, numbered from 00600.
        seed: of all random choices; not negative.
        signs_per_scene: in all scenes but one in twenty, which carries none.
        progress: counts scenes.

    Raises:
        ValueError: a count is outside GTSDB's numbering, or the seed is negative.
        FileExistsError: ``folder`` exists, or another process has written it in the meantime.
    """
    _check_counts(train_scenes, test_scenes, seed, signs_per_scene)
    if folder.exists():
        raise FileExistsError(f"{folder} exists: remove it or choose another folder")
    with atomic_folder(folder) as unfinished:
        lines: list[str] = []
        scenes = [
            (split, first, index, class_ids)
            for split, first, count in (("train", 0, train_scenes), ("test", FIRST_TEST_SCENE, test_scenes))
            for index, class_ids in enumerate(deal_classes(seed, split, count, signs_per_scene))
        ]
        for done, (split, first, index, class_ids) in enumerate(scenes, start=1):
            lines += _write_scene(unfinished, first + index, class_ids, _stream(seed, split, _LOOKS, index))
            progress(done, len(scenes))
        (unfinished / "gt.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        (unfinished / "README.txt").write_text(_readme(train_scenes, test_scenes, seed), encoding="ascii")
        if folder.exists():
            raise FileExistsError(f"{folder} exists: another run has drawn it meanwhile")
    return folder


def _check_counts(train_scenes: int, test_scenes: int, seed: int, signs_per_scene: int) -> None:
    """Raises ValueError if the counts do not fit GTSDB's numbering of scenes."""
    most_test = LAST_TEST_SCENE - FIRST_TEST_SCENE + 1
    scenes_fit = 0 <= train_scenes <= FIRST_TEST_SCENE and 0 <= test_scenes <= most_test and train_scenes + test_scenes
    if not (scenes_fit and 1 <= signs_per_scene <= 12 and seed >= 0):
        raise ValueError(
            f"give 0 to {FIRST_TEST_SCENE} training and 0 to {most_test} test scenes, at least one in all, 1 to 12 "
            f"signs per scene and a seed from 0, not {train_scenes}, {test_scenes}, {signs_per_scene} and {seed}"
        )


def _stream(seed: int, split: str, purpose: int, index: int) -> np.random.Generator:
    """Returns the random generator of one scene, of a split's decks or of its choice of empty scenes."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPLIT_KEYS[split], purpose, index)))


def deal_classes(seed: int, split: str, scenes: int, signs_per_scene: int) -> list[list[int]]:
    """Returns the class ids of every scene of a split.

    Classes are dealt from shuffled decks of all 43, so the counts of two classes differ by at most one.
    """
    deck = _decks(seed, split)
    dealt = []
    for index in range(scenes):
        block, place = divmod(index, EMPTY_BLOCK)
        empty = int(_stream(seed, split, _EMPTY, block).integers(EMPTY_BLOCK))
        dealt.append([] if place == empty else [next(deck) for _ in range(signs_per_scene)])
    return dealt


def _decks(seed: int, split: str) -> Iterator[int]:
    """Yields the class ids of shuffled decks, endlessly."""
    rng = _stream(seed, split, _DECK, 0)
    while True:
        yield from (int(class_id) for class_id in rng.permutation(NUM_CLASSES))


def _write_scene(folder: Path, number: int, class_ids: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Writes one scene and returns its lines of ``gt.txt``."""
    image, boxes = draw_scene(class_ids, rng)
    name = f"{number:05d}.jpg"
    quality = int(rng.integers(70, 96))
    (folder / name).write_bytes(encode_jpeg(image, quality).tobytes())
    # GTSDB's boxes include the last row and column.
    return [
        f"{name};{left};{top};{right - 1};{bottom - 1};{class_id}"
        for class_id, (left, top, right, bottom) in zip(class_ids, boxes, strict=True)
    ]


def encode_jpeg(image: Image, quality: int) -> npt.NDArray[np.uint8]:
    """Returns the bytes of the picture as a JPEG, uint8 [n]."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError("a drawn picture could not be encoded as JPEG")
    return np.asarray(data, np.uint8)


def _readme(train_scenes: int, test_scenes: int, seed: int) -> str:
    return (
        "Drawn traffic sign scenes in the layout of GTSDB (German Traffic Sign Detection Benchmark).\n"
        "These are computer drawings, not photographs, and no part of GTSDB itself: figures measured on\n"
        "them say nothing about real roads.\n"
        f"Seed {seed}; {train_scenes} training scenes from 00000, {test_scenes} test scenes from 00600.\n"
        "gt.txt: file;left;top;right;bottom;classId, pixels, all inclusive.\n"
    )
