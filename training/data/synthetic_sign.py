"""Draws one traffic sign with weathering, perspective, light and occlusion, as an RGBA patch."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from training.data.pictogram_frames import BLACK, BLUE, GREEN, GREY, RED, WHITE, YELLOW, Style
from training.data.pictograms import render
from training.data.synthetic_street import Field, Image, noise

MIN_SIZE = 18.0
MAX_SIZE = 126.0
TEMPLATE_SIZE = 192
# Patches are drawn at twice their size and shrunk, for smoother edges.
_OVERSAMPLING = 2
_VISIBLE = 96


class SignPatch(NamedTuple):
    """One drawn sign."""

    rgba: Image  # uint8 [h, w, 4], straight RGBA of the plate and of the objects in front of it
    plate: Image  # uint8 [h, w], coverage of the plate, including hidden parts
    box: tuple[int, int, int, int]  # the plate's left, top, right, bottom, pixels of the patch, the last two exclusive
    gain: float  # brightness of the light on the plate, 1 in plain daylight


# For each colour of `pictogram_frames`, a new and an old paint, RGB; a sign's own lies between them.
_PAINTS = (
    (RED, (206, 14, 4), (172, 20, 28)),
    (BLUE, (6, 57, 150), (30, 84, 160)),
    (YELLOW, (250, 150, 16), (240, 184, 60)),
    (GREEN, (0, 132, 92), (24, 140, 120)),
    (GREY, (60, 60, 64), (150, 150, 152)),
    (BLACK, (14, 14, 14), (44, 42, 42)),
    (WHITE, (255, 255, 255), (226, 226, 220)),
)


def random_style(rng: np.random.Generator) -> Style:
    """Returns one of the many styles in which a sign may have been made."""
    scale = float(rng.normal(0.95, 0.06))
    return Style(
        design=int(rng.integers(60)),  # as often any of 2, 3, 4 or 5
        rim=float(np.clip(rng.normal(1.0, 0.1), 0.7, 1.3)),
        edge=float(rng.choice([0.0, 1.0, 2.0], p=[0.15, 0.6, 0.25]) * rng.uniform(0.8, 1.2)),
        pen=float(np.clip(rng.normal(0.97, 0.12), 0.65, 1.35)),
        width=scale * float(np.clip(rng.normal(1, 0.04), 0.9, 1.1)),
        height=scale * float(np.clip(rng.normal(1, 0.04), 0.9, 1.1)),
        shift=(float(rng.normal(0, 0.8)), float(rng.normal(0, 0.8))),
        slant=float(rng.uniform(43, 54)),
        cleared=bool(rng.random() < 0.4),
        paints={name: _mixed(new, old, rng.random()) for name, new, old in _PAINTS},
    )


def _mixed(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> str:
    """Returns the colour that holds a ``share`` of the other one, as `#RRGGBB`."""
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in zip(one, other, strict=True))


def _template(sign: int | str, style: Style, size: int) -> Field:
    """Returns the sign as premultiplied RGBA, float32 [size, size, 4], 0 to 1."""
    template = render(sign, size, style).astype(np.float32) / np.float32(255)
    template[..., :3] *= template[..., 3:]
    return template


def _outline(template: Field) -> npt.NDArray[np.float64]:
    """Returns the corners of the plate's convex hull, float64 [n, 2], x and y from -1 to 1."""
    size = template.shape[0]
    points = cv2.findNonZero((template[..., 3] > 0.5).astype(np.uint8))
    hull = cv2.convexHull(points).reshape(-1, 2).astype(np.float64)
    # Pixel centres lie half a pixel in; the hull must reach the pixels' outer edges.
    hull += 0.5
    return np.asarray((hull + 0.5 * np.sign(hull - size / 2)) / size * 2 - 1, np.float64)


def motion_kernel(length: float, angle: float, rest: float = 0.0) -> Field:
    """Returns the blur of a straight motion: float32 [n, n], sum 1.

    Args:
        length: of the motion, pixels.
        angle: of it, degrees.
        rest: share of the exposure at the two ends of the motion, as in interlaced video, which shows everything twice.
    """
    n = int(np.ceil(length)) | 1
    half = (length - 1) / 2
    step = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * half
    ends = [tuple(end) for end in np.round((n // 2 + np.array([-step, step])) * 16).astype(int)]
    kernel = (1 - rest) * _strokes(n, [(ends[0], ends[1])])
    if rest:
        kernel = kernel + rest * _strokes(n, [(end, end) for end in ends])
    return kernel.astype(np.float32)


def _strokes(n: int, strokes: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> Field:
    """Returns thin lines, given by their ends in sixteenths of a pixel: float32 [n, n], sum 1."""
    kernel = np.zeros((n, n), np.float32)
    for one, other in strokes:
        cv2.line(kernel, one, other, 1.0, 1, cv2.LINE_AA, shift=4)
    return (kernel / max(float(kernel.sum()), 1e-6)).astype(np.float32)


def draw_sign(sign: int | str, rng: np.random.Generator, size: float, gain: float | None = None) -> SignPatch:
    """Draws one sign whose plate, as seen, is ``size`` pixels on its long side (to within a pixel or two).

    Args:
        sign: a class id, or one of the names of `training.data.pictograms.OTHER_SIGNS`.
        rng: source of all other random choices.
        gain: brightness of the light on the plate, 1 in plain daylight; None is random.

    Raises:
        ValueError: there is no such ``sign``.
    """
    big = size * _OVERSAMPLING
    edge = (int(np.ceil(size * 1.4)) + 4) * _OVERSAMPLING
    level = 48 if big <= 56 else 96 if big <= 120 else TEMPLATE_SIZE
    template = _template(sign, random_style(rng), level)
    view = _view(_outline(template), rng, big, edge)
    to_unit = np.array([[2 / level, 0, 1 / level - 1], [0, 2 / level, 1 / level - 1], [0, 0, 1]])
    warped = cv2.warpPerspective(template, view @ to_unit, (edge, edge), flags=cv2.INTER_LINEAR).astype(np.float32)
    colour, plate = warped[..., :3], warped[..., 3:]
    if gain is None:
        gain = float(np.clip(np.exp(rng.normal(-0.25, 0.6)), 0.1, 1.5))
    colour = _weathered(colour, plate, rng)
    colour = _lit(colour, plate, rng, gain)
    cover = np.dstack([colour, plate])
    if rng.random() < 0.1:
        _hide(cover, rng, big, gain)
    if rng.random() < 0.25:
        cover = _blurred(cover, rng, big)
    small = cv2.resize(cover, None, fx=1 / _OVERSAMPLING, fy=1 / _OVERSAMPLING, interpolation=cv2.INTER_AREA)
    shown = cv2.resize(plate, None, fx=1 / _OVERSAMPLING, fy=1 / _OVERSAMPLING, interpolation=cv2.INTER_AREA)
    return _as_patch(small.astype(np.float32), shown.astype(np.float32), gain)


def _as_patch(premultiplied: Field, plate: Field, gain: float) -> SignPatch:
    alpha = np.clip(premultiplied[..., 3:], 0, 1)
    straight = np.clip(premultiplied[..., :3] / np.maximum(alpha, 1e-3), 0, 1)
    rgba = np.round(np.dstack([straight, alpha]) * 255).astype(np.uint8)
    coverage = np.round(np.clip(plate, 0, 1) * 255).astype(np.uint8)
    left, top, width, height = cv2.boundingRect((coverage >= _VISIBLE).astype(np.uint8))
    return SignPatch(rgba, coverage, (left, top, left + width, top + height), gain)


def _view(
    outline: npt.NDArray[np.float64], rng: np.random.Generator, size: float, edge: int
) -> npt.NDArray[np.float64]:
    """Returns the 3 x 3 matrix from the sign's plane (-1 to 1) to pixels of a square patch ``edge`` wide."""
    roll, yaw, pitch = np.radians(np.clip(rng.normal(0, [4, 11, 7]), [-12, -30, -30], [12, 30, 30]))
    distance = rng.uniform(4, 9)
    cr, sr, cy, sy, cp, sp = (np.cos(roll), np.sin(roll), np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch))
    turned = (
        np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    )
    # The sign lies in the plane z = 0, so the third column of the rotation is not needed.
    matrix = np.array([turned[0, [0, 1]], turned[1, [0, 1]], turned[2, [0, 1]] / distance])
    matrix = np.column_stack([matrix, [0, 0, 1]])
    seen = cv2.perspectiveTransform(outline[None], matrix)[0]
    low, high = seen.min(axis=0), seen.max(axis=0)
    scale = size / (high - low).max()
    shift = edge / 2 - scale * (low + high) / 2 + rng.uniform(-1, 1, 2)
    # Pixel centres are whole numbers in OpenCV.
    placing = np.array([[scale, 0, shift[0] - 0.5], [0, scale, shift[1] - 0.5], [0, 0, 1]])
    return np.asarray(placing @ matrix, np.float64)


def _weathered(colour: Field, plate: Field, rng: np.random.Generator) -> Field:
    """Adds fading, tint and dirt; colours are premultiplied."""
    grey = colour.mean(axis=2, keepdims=True)
    fade = np.float32(rng.beta(1.3, 4) * 0.5)
    pale = np.float32(rng.beta(1.2, 6) * 0.4)
    colour = colour + (grey - colour) * fade
    colour = colour + (np.array([0.84, 0.82, 0.78], np.float32) * plate - colour) * pale
    # Black paint in daylight is never black, and white is seldom white.
    floor = np.float32(rng.uniform(0.0, 0.1))
    colour = colour * (np.float32(rng.uniform(0.82, 1.0)) - floor) + floor * plate
    tint = np.clip(rng.normal(1, 0.05, 3), 0.85, 1.15).astype(np.float32)
    colour = colour * tint
    edge = colour.shape[0]
    dirt = np.clip(noise(rng, edge, edge, 8, 64) - rng.uniform(0.2, 2.5), 0, 1) * rng.uniform(0, 0.5)
    if rng.random() < 0.3:
        dirt = dirt + np.clip(noise(rng, edge, edge, 2, 8) - rng.uniform(1.6, 3), 0, 1) * 0.8
    mud = np.array([0.34, 0.3, 0.24], np.float32) * plate
    return np.asarray(colour + (mud - colour) * np.clip(dirt, 0, 0.9)[..., None], np.float32)


def _lit(colour: Field, plate: Field, rng: np.random.Generator, gain: float) -> Field:
    """Adds uneven light: a gradient, sometimes the edge of a shadow or a glare."""
    edge = colour.shape[0]
    axis = np.linspace(-1, 1, edge, dtype=np.float32)
    across, down = axis[None, :], axis[:, None]
    light = gain * (1 + rng.normal(0, 0.12) * across + rng.normal(0, 0.12) * down)
    if rng.random() < 0.12:
        angle = rng.uniform(0, 2 * np.pi)
        side = np.cos(angle) * across + np.sin(angle) * down + rng.uniform(-0.4, 0.4)
        side = side + 0.12 * noise(rng, edge, edge, 8, 64)
        light = light * (1 - np.clip(side * 12, 0, 1) * rng.uniform(0.25, 0.6))
    cast = np.clip(rng.normal([1.0, 1.0, 1.02], [0.06, 0.02, 0.07]), 0.8, 1.25).astype(np.float32)
    colour = colour * light[..., None].astype(np.float32) * cast
    if rng.random() < 0.08:
        x, y, reach = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(0.15, 0.5)
        glare = rng.uniform(0.3, 0.9) * np.exp(-((across - x) ** 2 + (down - y) ** 2) / reach**2)
        # A sign in deep shade has weak reflections.
        mirrored = plate * np.float32(min(2.5 * gain, 1))
        colour = colour + np.maximum(mirrored - colour, 0) * glare[..., None].astype(np.float32)
    # Overexposure spreads to all channels: red turns orange, as in photographs.
    spill = np.maximum(colour - 1, 0).sum(axis=2, keepdims=True) * np.float32(0.3)
    return np.asarray(np.minimum(colour + spill * plate, plate), np.float32)


def _hide(cover: Field, rng: np.random.Generator, size: float, gain: float) -> None:
    """Paints leaves, a pole or a sticker over a patch of premultiplied RGBA, in place."""
    edge = cover.shape[0]
    left, middle = (edge - size) / 2, edge / 2
    kind = rng.choice(["leaves", "pole", "sticker"], p=[0.6, 0.15, 0.25])
    if kind == "leaves":
        angle = rng.uniform(0, 2 * np.pi)
        x, y = middle + np.cos(angle) * 0.45 * size, middle + np.sin(angle) * 0.45 * size
        for _ in range(int(rng.integers(6, 22))):
            spot = (int(x + rng.normal(0, 0.13) * size), int(y + rng.normal(0, 0.13) * size))
            axes = (max(int(size * rng.uniform(0.02, 0.06)), 1), max(int(size * rng.uniform(0.015, 0.04)), 1))
            shade = np.array([0.24, 0.3, 0.12]) * rng.uniform(0.4, 1.4) * gain
            cv2.ellipse(cover, spot, axes, rng.uniform(0, 180), 0, 360, _opaque(shade), -1, cv2.LINE_AA)
    elif kind == "pole":
        x = left + rng.uniform(0.05, 0.95) * size
        lean = rng.normal(0, 0.05) * size
        ends = (int(x - lean), 0), (int(x + lean), edge)
        cv2.line(
            cover, *ends, _opaque(np.full(3, rng.uniform(0.1, 0.5) * gain)), max(int(size * rng.uniform(0.03, 0.08)), 1)
        )
    else:
        x, y = (left + rng.uniform(0.3, 0.6, 2) * size).astype(int)
        w, h = (rng.uniform(0.08, 0.2, 2) * size).astype(int) + 1
        cv2.rectangle(cover, (int(x), int(y)), (int(x + w), int(y + h)), _opaque(rng.uniform(0.1, 0.9, 3) * gain), -1)


def _opaque(colour: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Returns an RGB colour as opaque premultiplied RGBA."""
    red, green, blue = (float(c) for c in np.clip(colour, 0, 1))
    return red, green, blue, 1.0


def _blurred(cover: Field, rng: np.random.Generator, size: float) -> Field:
    """Adds defocus or motion blur of a few percent of the patch's size."""
    reach = size * rng.uniform(0.01, 0.05)
    if rng.random() < 0.6:
        return cv2.GaussianBlur(cover, (0, 0), max(reach, 0.3)).astype(np.float32)
    return cv2.filter2D(cover, -1, motion_kernel(1 + 3 * reach, rng.uniform(0, 180))).astype(np.float32)
