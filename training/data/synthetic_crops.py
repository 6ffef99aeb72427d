"""Draws tens of thousands of crops of single signs in the style of GTSRB.

A crop shows a weathered sign on a drawn street, with the resolution, light and blur of a car's camera. The
distributions of size and brightness follow those of GTSRB's training images.
"""

import hashlib
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from traffic_signs.classes import NUM_CLASSES
from traffic_signs.cores import usable_cores
from traffic_signs.preprocessing import crop
from training.data.crops import Crops
from training.data.images import Progress, silent
from training.data.pictograms import OTHER_SIGNS
from training.data.synthetic import encode_jpeg, mount, paste
from training.data.synthetic_ground import branches, surroundings
from training.data.synthetic_objects import furnish
from training.data.synthetic_sign import SignPatch, draw_sign, motion_kernel
from training.data.synthetic_street import Field, Image, Street, ellipse, noise, paint_street, pick
from training.data.threads import map_in_pool

DRAWING_VERSION = 2  # part of every fingerprint: raise it when the same seed starts to give other pixels
MOST_CROPS = 1_000_000

# Starting processes takes about a second, as long as drawing a hundred crops.
_FEWEST_FOR_A_POOL = 1000
_STREETS_PER_DECK = 3
_STREET_WIDTH, _STREET_HEIGHT = 480, 300

# Of GTSRB's training images: long side of a sign in pixels, without the room that its box leaves around it.
_MEDIAN_SIZE, _SIZE_SPREAD, _SMALLEST_SIGN, _LARGEST_SIGN = 31.0, 0.5, 14.0, 250.0


def draw_crops(count: int, size: int, seed: int, progress: Progress = silent, processes: int | None = None) -> Crops:
    """Draws crops of signs, with equal numbers of all classes.

    The same arguments give the same pixels with the same versions of the libraries, for any number of processes; a
    smaller count gives the first of the same crops. Processes are spawned, so a script that calls this at its top level
    needs ``if __name__ == "__main__":``.

    A crop is a square of `size` pixels with the margins of ``cut_crops``, each of a sign of its own. `progress` counts
    crops.
    """
    images = np.empty((count, size, size, 3), np.uint8)
    class_ids = np.empty(count, np.int64)
    done = 0
    for drawn, dealt in _draw_decks(count, size, seed, processes):
        images[done : done + len(drawn)] = drawn
        class_ids[done : done + len(drawn)] = dealt
        done += len(drawn)
        progress(done, count)
    digest = hashlib.sha256(f"synthetic {DRAWING_VERSION} {count} {size} {seed}".encode())
    digest.update(images.data)
    sources = tuple(f"synthetic-{number:07d}" for number in range(count))
    return Crops(images, class_ids, sources, digest.hexdigest())


def draw_others(count: int, size: int, seed: int, progress: Progress = silent) -> npt.NDArray[np.uint8]:
    """Draws crops of German signs outside the 43 classes, with equal numbers of all OTHER_SIGNS.

    Returns uint8 [count, size, size, 3].
    """
    rng = np.random.default_rng(seed)
    signs, streets, crops = list(OTHER_SIGNS), [_street(rng)], []
    for number in range(count):
        if number % NUM_CLASSES == 0:
            streets = [_street(rng) for _ in range(_STREETS_PER_DECK)]
        crops.append(_draw_crop(signs[number % len(signs)], size, streets, rng))
        progress(number + 1, count)
    return np.stack(crops)


Deck = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def _draw_decks(count: int, size: int, seed: int, processes: int | None) -> Iterator[Deck]:
    """Yields the crops and class ids of decks of the 43 classes, ``count`` crops in total."""
    decks = -(-count // NUM_CLASSES)
    lengths = [min(NUM_CLASSES, count - deck * NUM_CLASSES) for deck in range(decks)]
    draw = partial(_draw_deck, size, seed)
    if processes is None:
        processes = usable_cores() if count >= _FEWEST_FOR_A_POOL else 1
    if processes == 1:
        yield from map(draw, range(decks), lengths)
        return
    with ProcessPoolExecutor(min(processes, decks), get_context("spawn"), _start_process) as pool:
        yield from map_in_pool(pool, draw, range(decks), lengths)


def _start_process() -> None:
    """Prepares a process of the pool: one thread, and Ctrl-C is left to the parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_deck(size: int, seed: int, deck: int, length: int) -> Deck:
    """Returns the first ``length`` crops of a shuffled deck and their class ids."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(deck,)))
    class_ids = rng.permutation(NUM_CLASSES)[:length].astype(np.int64)
    streets = [_street(rng) for _ in range(_STREETS_PER_DECK)]
    return np.stack([_draw_crop(int(class_id), size, streets, rng) for class_id in class_ids]), class_ids


def _street(rng: np.random.Generator) -> Street:
    street = paint_street(rng, _STREET_WIDTH, _STREET_HEIGHT)
    furnish(street, rng)
    return street


def _draw_crop(sign: int | str, size: int, streets: list[Street], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Returns one crop, uint8 [size, size, 3]."""
    # More detail than the crop can show is not drawn.
    largest = float(np.clip(1.6 * size, _SMALLEST_SIGN, _LARGEST_SIGN))
    plate_size = _MEDIAN_SIZE * float(np.exp(rng.normal(0, _SIZE_SPREAD)))
    plate_size = min(max(plate_size, _SMALLEST_SIGN), largest)
    light, surrounding_light = _lights(rng)
    # Values above white are clipped only after the blur, so that white spreads over thin black strokes.
    exposure = float(np.exp(rng.uniform(0, 1.1))) if rng.random() < 0.4 else 1.0
    patch = _aged(draw_sign(sign, rng, plate_size, light / exposure), rng)
    edge = int(plate_size * 1.5) + 4
    view = surroundings(streets, edge, surrounding_light / exposure, rng)
    box = _place(patch, edge)
    if rng.random() < 0.2:
        _neighbour(view.image, box, rng, patch.gain)
    mount(view, patch, box, rng)
    paste(view.image, patch, box)
    if rng.random() < 0.06:
        branches(view.image, rng, patch.gain)
    picture = _photographed(view.image, plate_size, exposure, rng)
    return crop(PillowImage.fromarray(picture), _annotated(box, rng), size)


def _lights(rng: np.random.Generator) -> tuple[float, float]:
    """Returns the light on the sign, 1 in plain daylight, and the mean brightness of the background, 0 to 255.

    Both are log-normal, as in GTSRB, where a sign is often in the shade before a bright sky.
    """
    common = rng.normal()
    light = np.exp(-0.5 + 0.75 * common)
    behind = 66 * np.exp(0.95 * (0.6 * common + 0.8 * rng.normal()))
    return float(np.clip(light, 0.07, 2.4)), float(np.clip(behind, 5, 250))


def _aged(patch: SignPatch, rng: np.random.Generator) -> SignPatch:
    """Returns the sign with darker red, as in photographs, and on some signs bleached to orange."""
    rgba = patch.rgba.astype(np.float32)
    excess = np.maximum(rgba[..., 0] - np.maximum(rgba[..., 1], rgba[..., 2]), 0)
    if rng.random() < 0.25:
        bleached = excess * np.float32(rng.beta(1.2, 2.5))
        rgba[..., 1] += 0.8 * bleached
        rgba[..., 2] += np.float32(rng.uniform(0, 0.6)) * bleached
    else:
        rgba[..., 0] -= np.float32(rng.uniform(0, 0.45)) * excess
    return patch._replace(rgba=np.round(rgba).astype(np.uint8))


def _neighbour(image: Image, box: tuple[int, int, int, int], rng: np.random.Generator, light: float) -> None:
    """Paints the edge of another sign, above or below, on the same pole; in place."""
    left, top, right, bottom = box
    radius = (right - left) * rng.uniform(0.4, 0.55)
    reach = radius + (right - left) * rng.uniform(0.01, 0.12)
    y = bottom + reach if rng.random() < 0.6 else top - reach
    paint = np.clip(pick(rng, [(180, 24, 28), (180, 24, 28), (20, 66, 136), (226, 226, 222)]) * light, 0, 255)
    ellipse(image, (left + right) / 2, y, radius, radius, np.asarray(paint, np.float32))
    if rng.random() < 0.7:
        pale = np.full(3, min(215 * light, 255), np.float32)
        ellipse(image, (left + right) / 2, y, 0.72 * radius, 0.72 * radius, pale)


def _place(patch: SignPatch, edge: int) -> tuple[int, int, int, int]:
    """Returns the box of the plate in the middle of a square picture."""
    left, top, right, bottom = patch.box
    x, y = (edge - (right - left)) // 2, (edge - (bottom - top)) // 2
    return x, y, x + right - left, y + bottom - top


def _photographed(image: Image, plate_size: float, exposure: float, rng: np.random.Generator) -> Image:
    picture = _coloured(_exposed(_through_lens(image, plate_size, rng), exposure), rng)
    height, width = picture.shape[:2]
    grain = np.float32(np.exp(rng.normal(0.4, 0.6)))
    grains = np.dstack([noise(rng, height, width, 1, 1) for _ in range(3)])
    taken = np.clip(picture + grain * grains, 0, 255).astype(np.uint8)
    return _compressed(taken, int(rng.integers(55, 97))) if rng.random() < 0.6 else taken


def _through_lens(image: Image, plate_size: float, rng: np.random.Generator) -> Field:
    """Returns the picture smeared or doubled by motion, out of focus, with fringes of colour, then sharpened again."""
    picture = image.astype(np.float32)
    if rng.random() < 0.3:
        length = min(1 + plate_size * abs(rng.normal(0, 0.07)), 0.25 * plate_size)
        rest = rng.uniform(0, 1) if rng.random() < 0.4 else 0.0
        picture = np.asarray(cv2.filter2D(picture, -1, motion_kernel(length, rng.uniform(0, 180), rest)), np.float32)
    focus = rng.uniform(0.2, 0.5) + plate_size * max(rng.normal(-0.012, 0.012), 0)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(focus)), np.float32)
    if rng.random() < 0.4:
        picture = _fringed(picture, rng.normal(0, 0.3, 2))
    if rng.random() < 0.5:
        soft = cv2.GaussianBlur(picture, (0, 0), 1.0)
        picture = np.maximum(picture + np.float32(rng.uniform(0, 1)) * (picture - soft), 0)
    return picture


def _fringed(picture: Field, shift: npt.NDArray[np.float64]) -> Field:
    """Returns the picture with red and blue apart, each ``shift`` (x, y) pixels from green: a lens's colour error."""
    size = (picture.shape[1], picture.shape[0])
    for channel, sign in ((0, 1), (2, -1)):
        matrix = np.array([[1, 0, sign * shift[0]], [0, 1, sign * shift[1]]])
        picture[..., channel] = cv2.warpAffine(picture[..., channel], matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return picture


def _exposed(picture: Field, exposure: float) -> Field:
    """Brightens the picture; the overflow of one channel is added to the others.

    As in photographs, overexposed red turns orange and blue turns cyan.
    """
    picture = picture * np.float32(exposure)
    spill = np.maximum(picture - 255, 0).sum(axis=2, keepdims=True) * np.float32(0.3)
    return np.asarray(np.minimum(picture + spill, 255), np.float32)


def _coloured(picture: Field, rng: np.random.Generator) -> Field:
    """Returns the picture with a colour cast, paler or stronger colours and a veil of stray light."""
    warm = rng.normal(-0.03, 0.07)
    cast = np.exp([warm, rng.normal(0, 0.025), -warm]).astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = (grey + (picture - grey) * np.float32(rng.uniform(0.8, 1.3))) * cast
    veil = np.float32(rng.beta(1, 8) * 0.24)
    return np.asarray(picture * (1 - veil) + 2 * veil * picture.mean(), np.float32)


def _compressed(image: Image, quality: int) -> Image:
    shown = np.asarray(cv2.imdecode(encode_jpeg(image, quality), cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB), np.uint8)


def _annotated(box: tuple[int, int, int, int], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Returns the box as a person or a detector would have drawn it, each edge a few percent off.

    GTSRB's boxes leave room around the signs, about 5% of their size on each side; GTSDB's are tighter.
    """
    left, top, right, bottom = box
    size = max(right - left, bottom - top)
    room = rng.uniform(0.01, 0.08)
    slip = np.clip(rng.normal(room, 0.025, 4), room - 0.07, room + 0.07) * size
    return (left - float(slip[0]), top - float(slip[1]), right + float(slip[2]), bottom + float(slip[3]))
