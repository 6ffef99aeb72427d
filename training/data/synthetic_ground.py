"""What stands behind a drawn sign: a piece of a drawn street, a plain colour or a clutter of shapes.

Streets look like photographs, but all of them are by one hand. Plain and cluttered grounds look like none, and keep a
network from learning that hand.
"""

import cv2
import numpy as np

from training.data.synthetic_street import Field, Image, Street, noise, pick, polygon

_PLAIN, _CLUTTERED = 0.15, 0.15  # shares of all crops


def surroundings(streets: list[Street], edge: int, brightness: float, rng: np.random.Generator) -> Street:
    """Returns a square ground, ``edge`` pixels wide, of a mean ``brightness`` from 0 to 255 before noise and twigs."""
    kind = rng.random()
    if kind < _PLAIN:
        picture, light = _plain(edge, rng), np.ones(3, np.float32)
    elif kind < _PLAIN + _CLUTTERED:
        picture, light = _clutter(edge, rng), np.ones(3, np.float32)
    else:
        picture, light = _piece_of_street(streets, edge, rng)
    scale = np.float32(brightness / max(float(picture.mean()), 4.0))
    picture = picture * scale
    if kind >= _PLAIN:
        picture *= np.maximum(1 + np.float32(rng.beta(1, 3)) * noise(rng, edge, edge, 2, 8)[..., None], 0)
    image = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        branches(image, rng, brightness / 255)
    return Street(image, int(edge * 0.9), np.clip(light * scale, 0.05, 1.3).astype(np.float32))


def _plain(edge: int, rng: np.random.Generator) -> Field:
    """Returns a random colour that changes a little from one side to the other, as skies and walls do."""
    colour = rng.uniform(128, 255) * (1 - rng.beta(1, 3) * rng.uniform(0, 1, 3))
    axis = np.linspace(-1, 1, edge)
    slope = 1 + rng.normal(0, 0.15) * axis[None, :, None] + rng.normal(0, 0.15) * axis[:, None, None]
    return np.asarray(colour * slope, np.float32)


def _clutter(edge: int, rng: np.random.Generator) -> Field:
    """Returns random shapes of random colours and sizes, one over the other."""
    image = np.empty((edge, edge, 3), np.uint8)
    image[:] = rng.integers(0, 256, 3)
    colourful = rng.uniform(0, 1)
    for _ in range(int(rng.integers(5, 60))):
        grey = rng.uniform(0, 255)
        colour = np.asarray(grey + colourful * (rng.uniform(0, 255, 3) - grey), np.float32)
        corners = rng.uniform(-0.1, 1.1, 2) + rng.beta(1, 4) * rng.uniform(-1, 1, (int(rng.integers(3, 6)), 2))
        polygon(image, np.asarray(corners * edge, np.float32), colour)
    return image.astype(np.float32)


def _piece_of_street(streets: list[Street], edge: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """Returns a piece of one of the streets and the daylight on what stands before it."""
    street = streets[int(rng.integers(len(streets)))]
    height, width = street.image.shape[:2]
    window = int(np.clip(edge * np.exp(rng.uniform(-1.1, 0.7)), 16, height))
    x = int(rng.integers(0, width - window + 1))
    middle = street.horizon - 0.12 * height + rng.normal(0, 0.15) * height
    y = int(np.clip(middle - window / 2, 0, height - window))
    piece = cv2.resize(street.image[y : y + window, x : x + window], (edge, edge), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        piece = cv2.flip(piece, 1)
    picture = piece.astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    contrast = np.float32(np.exp(rng.normal(0.1, 0.5)))
    stretched = np.maximum(grey + (contrast - 1) * (grey - grey.mean()), 2)
    colourful = np.float32(rng.uniform(0.1, 0.65))
    picture = (grey + (picture - grey) * colourful) * (stretched / np.maximum(grey, 1))
    return np.asarray(picture, np.float32), street.light


def branches(image: Image, rng: np.random.Generator, light: float) -> None:
    """Paints bare twigs across the picture, in place."""
    edge = image.shape[0]
    bark = pick(rng, [(60, 52, 44), (40, 36, 34), (110, 100, 88)]) * np.float32(light)
    for _ in range(int(rng.integers(3, 14))):
        start, angle, length = rng.uniform(0, edge, 2), rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1) * edge
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        ends = np.round(np.stack([start, end]) * 16).astype(int)
        colour = [float(c) for c in np.clip(bark, 0, 255)]
        cv2.line(image, tuple(ends[0]), tuple(ends[1]), colour, int(rng.integers(1, 3)), cv2.LINE_AA, shift=4)
