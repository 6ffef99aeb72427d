"""Objects other than signs in the drawn streets: posts, wires, cars, boards and other shapes."""

import cv2
import numpy as np

from training.data.synthetic_street import PAINTS, Street, ellipse, pick, polygon, rectangle


def furnish(street: Street, rng: np.random.Generator) -> None:
    """Adds posts, wires, cars and objects that resemble signs."""
    image, horizon, light = street.image, street.horizon, street.light
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        x, thick = rng.uniform(0, width), rng.uniform(2, 9)
        top = rng.uniform(0, horizon * 0.8)
        steel = pick(rng, [(120, 124, 126), (84, 74, 62), (60, 62, 66)]) * light
        rectangle(image, x, top, thick, horizon + rng.uniform(0, 0.25) * height - top, steel)
        if rng.random() < 0.4:
            end = (int(x + rng.normal(0, 120)), int(top - 6))
            cv2.line(image, (int(x), int(top)), end, [float(c) for c in steel], max(int(thick / 2), 1), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 3))):
        ends = rng.uniform(0, horizon * 0.7, 2)
        cv2.line(image, (0, int(ends[0])), (width, int(ends[1])), (50, 50, 54), 1, cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 4))):
        size = float(np.exp(rng.uniform(np.log(18), np.log(130))))
        _car(street, rng, rng.uniform(0.05, 0.95) * width, horizon + size * rng.uniform(0.4, 0.9), size)
    for _ in range(int(rng.integers(3, 10))):
        size = float(np.exp(rng.uniform(np.log(10), np.log(90))))
        y = horizon + rng.normal(-0.08, 0.12) * height
        _distractor(street, rng, rng.uniform(0, width), float(np.clip(y, 0.1 * height, 0.9 * height)), size)


def _car(street: Street, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Paints a car from behind, ``size`` pixels wide, standing on row ``y``."""
    image, light = street.image, street.light
    paint = pick(rng, PAINTS) * light
    dark = np.array([24, 24, 28], np.float32) * light
    s = size / 2
    ellipse(image, x, y, s * 1.15, s * 0.14, dark)
    for wheel in (-0.72, 0.72):
        rectangle(image, x + (wheel - 0.16) * s, y - 0.3 * s, 0.32 * s, 0.34 * s, dark)
    glass = np.array([70, 80, 92], np.float32) * light
    # Half width and height of the lower and of the upper edge: body, roof and rear window.
    for (wide, low), (narrow, high), colour in (
        ((1, 0.15), (1, 0.7), paint),
        ((0.9, 0.68), (0.66, 1.25), paint),
        ((0.76, 0.74), (0.58, 1.16), glass),
    ):
        corners = (-wide, low), (-narrow, high), (narrow, high), (wide, low)
        polygon(image, [(x + across * s, y - up * s) for across, up in corners], colour)
    lamp = pick(rng, [(190, 24, 20), (236, 232, 214)])
    for sign in (-1, 1):
        ellipse(image, x + sign * 0.82 * s, y - 0.52 * s, 0.13 * s, 0.1 * s, lamp)
    rectangle(image, x - 0.25 * s, y - 0.42 * s, 0.5 * s, 0.13 * s, np.array([220, 220, 214], np.float32) * light)


def _distractor(street: Street, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Paints one object that resembles a sign: a disc, a wheel, a triangle, a board or traffic lights."""
    image, light, horizon = street.image, street.light, street.horizon
    s = size / 2
    paint, second = pick(rng, PAINTS) * light, pick(rng, PAINTS) * light
    dark = np.array([22, 22, 24], np.float32) * light
    kind = rng.choice(["disc", "wheel", "triangle", "board", "lights"], p=[0.18, 0.06, 0.18, 0.42, 0.16])
    if kind != "wheel" and rng.random() < 0.75:
        foot = max(y + s * rng.uniform(3, 7), horizon + s)
        rectangle(image, x - 0.05 * s, y, max(0.12 * s, 1.5), foot - y, dark * np.float32(4))
    if kind == "disc":
        ellipse(image, x, y, s, s * rng.uniform(0.7, 1), paint)
    elif kind == "wheel":
        y, s = horizon + abs(y - horizon) + 0.2 * s, 0.4 * s
        ellipse(image, x, y, s, s, dark)
        ellipse(image, x, y, 0.6 * s, 0.6 * s, np.array([150, 150, 154], np.float32) * light)
        ellipse(image, x, y, 0.2 * s, 0.2 * s, dark)
    elif kind == "triangle":
        tip = rng.uniform(-1, 1) * s
        polygon(image, [(x - s, y + 0.8 * s), (x + tip, y - 0.9 * s), (x + s, y + 0.8 * s)], paint)
    elif kind == "board":
        wide = s * rng.uniform(0.8, 2.2)
        rectangle(image, x - wide, y - s, 2 * wide, 2 * s, paint)
        for row in range(int(rng.integers(0, 4))):
            rectangle(image, x - 0.8 * wide, y - (0.7 - 0.45 * row) * s, wide * rng.uniform(0.5, 1.6), 0.2 * s, second)
    else:
        rectangle(image, x - 0.45 * s, y - 1.2 * s, 0.9 * s, 2.4 * s, dark)
        lit = int(rng.integers(3))
        for k, lamp in enumerate(((220, 30, 24), (240, 180, 20), (30, 200, 120))):
            gain = 1.0 if k == lit else 0.2
            ellipse(image, x, y + (k - 1) * 0.75 * s, 0.3 * s, 0.3 * s, np.array(lamp, np.float32) * gain)
