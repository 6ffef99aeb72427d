"""Backgrounds of the drawn data set: street scenes without signs.

Scenes are painted with OpenCV shapes and textured from a few cached noise tiles; 1360 x 800 pixels take tens of
milliseconds on one core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

_TILE_HEIGHT, _TILE_WIDTH = 1024, 2048
FOLIAGE: tuple[Colour, ...] = (
    (52, 74, 34), (70, 88, 38), (96, 104, 44), (38, 58, 36), (150, 116, 40), (176, 128, 34), (122, 84, 44),
)  # fmt: skip
_WALLS: tuple[Colour, ...] = (
    (206, 196, 176), (188, 170, 140), (150, 92, 74), (172, 168, 162), (224, 214, 190), (128, 118, 110),
    (196, 150, 110), (214, 210, 206), (120, 70, 58), (170, 186, 190),
)  # fmt: skip
PAINTS: tuple[Colour, ...] = (
    (180, 20, 24), (20, 60, 140), (235, 235, 235), (30, 30, 34), (130, 134, 140), (200, 160, 30),
    (30, 90, 60), (90, 90, 96), (200, 90, 30),
)  # fmt: skip


@dataclass(frozen=True)
class Street:
    """A painted street."""

    image: Image  # uint8 [height, width, 3], RGB; callers paint on it
    horizon: int  # its row, pixels from the top
    light: Field  # RGB gains of the daylight on objects in the street, float32 [3], about 0.2 to 1.1


@cache
def noise_tile(finest: int, coarsest: int) -> Field:
    """Returns fractal noise with features from ``finest`` to ``coarsest`` pixels wide.

    float32 [1024, 2048], mean 0, standard deviation 1, read-only. It is the same in every run; scenes use different
    windows of it.
    """
    rng = np.random.default_rng(finest * 4099 + coarsest)
    total = np.zeros((_TILE_HEIGHT, _TILE_WIDTH), np.float32)
    cell = finest
    while cell <= coarsest:
        grid = rng.standard_normal((_TILE_HEIGHT // cell + 2, _TILE_WIDTH // cell + 2), np.float32)
        # Coarse features have more contrast than fine ones, as in nature.
        octave = cv2.resize(grid, (_TILE_WIDTH, _TILE_HEIGHT), interpolation=cv2.INTER_CUBIC)
        total += octave * np.float32(cell**0.5)
        cell *= 2
    total -= total.mean()
    total /= total.std()
    total.setflags(write=False)
    return total


def noise(rng: np.random.Generator, height: int, width: int, finest: int, coarsest: int) -> Field:
    """Returns a random window, float32 [height, width], of a noise tile; do not write to it."""
    tile = noise_tile(finest, coarsest)
    repeats = (-(-height // _TILE_HEIGHT), -(-width // _TILE_WIDTH))
    if repeats != (1, 1):
        tile = np.tile(tile, repeats)
    top = int(rng.integers(0, tile.shape[0] - height + 1))
    left = int(rng.integers(0, tile.shape[1] - width + 1))
    return tile[top : top + height, left : left + width]


def pick(rng: np.random.Generator, colours: Sequence[Colour], spread: float = 12) -> Field:
    """Returns one of ``colours``, varied a little, as float32 [3]."""
    colour = np.asarray(colours[int(rng.integers(len(colours)))], np.float32)
    return np.clip(colour + rng.normal(0, spread) + rng.normal(0, spread / 3, 3), 0, 255).astype(np.float32)


def polygon(image: Image, points: Sequence[tuple[float, float]] | Field, colour: Field) -> None:
    """Fills a polygon, its edges smoothed; coordinates are (x, y) in pixels."""
    # Four fractional bits per coordinate keep shallow slopes smooth.
    corners = np.round(np.asarray(points, np.float64) * 16).astype(np.int32)
    cv2.fillPoly(image, [corners], [float(c) for c in colour], cv2.LINE_AA, shift=4)


def rectangle(image: Image, x: float, y: float, width: float, height: float, colour: Field) -> None:
    """Fills an upright rectangle; coordinates in pixels."""
    polygon(image, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)


def ellipse(image: Image, x: float, y: float, rx: float, ry: float, colour: Field) -> None:
    """Fills an upright ellipse; centre and radii in pixels."""
    centre, axes = (int(x * 16), int(y * 16)), (max(int(rx * 16), 1), max(int(ry * 16), 1))
    cv2.ellipse(image, centre, axes, 0, 0, 360, [float(c) for c in colour], -1, cv2.LINE_AA, shift=4)


def paint_street(rng: np.random.Generator, width: int, height: int) -> Street:
    """Paints a street at a random time of day, in random weather and surroundings."""
    image = np.empty((height, width, 3), np.uint8)
    horizon = int(height * rng.uniform(0.42, 0.6))
    day = float(np.clip(rng.beta(2.6, 0.9), 0.12, 1.0))
    warmth = rng.normal(0, 0.05) + (0.12 if day < 0.4 and rng.random() < 0.5 else 0)
    light = ((0.25 + 0.75 * day) * np.array([1 + warmth, 1, 1 - warmth])).astype(np.float32)
    _sky(image, rng, horizon, day)
    _ridge(image, rng, horizon, light)
    vanishing_x = width * rng.uniform(0.3, 0.7)
    _ground(image, rng, horizon, vanishing_x, light)
    kind = rng.choice(["town", "country", "suburb"], p=[0.4, 0.3, 0.3])
    for side in (-1, 1):
        if kind == "town" or (kind == "suburb" and rng.random() < 0.6):
            _buildings(image, rng, horizon, vanishing_x, side, light, day)
    for _ in range(int(rng.integers(2, 6) if kind == "town" else rng.integers(5, 12))):
        _tree(image, rng, horizon, vanishing_x, light)
    _haze(image, rng, horizon, day)
    return Street(image, horizon, light)


def _sky(image: Image, rng: np.random.Generator, horizon: int, day: float) -> None:
    """Paints a gradient with clouds; half of the skies are overcast or overexposed, as in dash-cam scenes."""
    width = image.shape[1]
    overcast = rng.random() < 0.55
    top = pick(rng, [(205, 212, 222), (235, 238, 244)] if overcast else [(92, 140, 205), (130, 170, 222)])
    low = pick(rng, [(246, 247, 250), (226, 228, 230)] if overcast else [(214, 228, 242), (238, 226, 208)])
    ramp = np.linspace(0, 1, horizon // 2 + 1, dtype=np.float32)[:, None, None]
    sky = np.broadcast_to(top + (low - top) * ramp, (horizon // 2 + 1, width // 2 + 1, 3))
    clouds = noise(rng, sky.shape[0], sky.shape[1], 16, 256)
    cover = np.clip(clouds * 0.45 + rng.uniform(-0.2, 0.5), 0, 1)[..., None] * np.float32(rng.uniform(0.2, 0.9))
    cloud = pick(rng, [(250, 250, 252), (196, 200, 208)] if not overcast else [(188, 192, 200), (250, 250, 250)])
    sky = (sky + (cloud - sky) * cover) * np.float32(0.35 + 0.65 * day**0.6)
    small = np.clip(sky, 0, 255).astype(np.uint8)
    image[:horizon] = cv2.resize(small, (width, horizon), interpolation=cv2.INTER_LINEAR)
    image[horizon:] = 0


def _ridge(image: Image, rng: np.random.Generator, horizon: int, light: Field) -> None:
    height, width = image.shape[:2]
    reach = int(height * rng.uniform(0.03, 0.16))
    top = max(horizon - 2 * reach, 0)
    rough = noise(rng, horizon - top, width, 4, 128)
    rise = (np.arange(horizon - top, dtype=np.float32)[:, None] / max(reach, 1)) - 1
    mask = np.clip((rise + 0.3 * rough) * 8, 0, 1)[..., None]
    colour = (0.6 * pick(rng, FOLIAGE) + np.float32(48)) * light
    shade = 1 + 0.2 * noise(rng, horizon - top, width, 2, 8)[..., None]
    band = image[top:horizon].astype(np.float32)
    image[top:horizon] = np.clip(band + (colour * shade - band) * mask, 0, 255).astype(np.uint8)


def _ground(image: Image, rng: np.random.Generator, horizon: int, vanishing_x: float, light: Field) -> None:
    """Paints verges, road, markings and the shadows that lie on them."""
    height, width = image.shape[:2]
    depth = height - horizon
    paved = rng.random() < 0.4
    verge = pick(rng, [(150, 146, 140), (122, 118, 112)] if paved else [(96, 104, 56), (78, 90, 44), (128, 116, 70)])
    asphalt = pick(rng, [(104, 104, 106), (82, 82, 86), (128, 126, 124)])
    image[horizon:] = np.clip(verge, 0, 255).astype(np.uint8)
    left, right = width * rng.uniform(-0.7, 0.12), width * rng.uniform(0.85, 1.7)

    def strip(centre: float, half: float, near: float, far: float, colour: Field) -> None:
        """Fills a strip along the road; centre and half width as shares of the road, depths from 0 to 1."""
        corners = []
        for share, distance in (
            (centre - half, near),
            (centre - half, far),
            (centre + half, far),
            (centre + half, near),
        ):
            x = vanishing_x + (left + (right - left) * share - vanishing_x) * distance
            corners.append((x, horizon + depth * distance))
        polygon(image, corners, colour)

    strip(0.5, 0.54, 1, 0.004, pick(rng, [(150, 148, 146), (118, 110, 92)]))
    strip(0.5, 0.5, 1, 0.004, asphalt)
    paint = pick(rng, [(222, 222, 220), (200, 200, 196)])
    for share in (0.04, 0.96):
        strip(share, 0.006, 1, 0.01, paint)
    middle = rng.uniform(0.4, 0.6)
    scroll, gap = rng.uniform(0, 1), rng.uniform(1.2, 2.2)
    for k in range(12):
        # Dashes of equal length on the road shrink with distance as 1 / (1 + k).
        near, far = 1 / (1 + gap * (k + scroll) * 0.5), 1 / (1 + gap * (k + scroll + 0.4) * 0.5)
        strip(middle, 0.007, near, far, paint)
    _ground_texture(image, rng, horizon, light)


def _ground_texture(image: Image, rng: np.random.Generator, horizon: int, light: Field) -> None:
    """Adds texture in perspective and patches of shade to the ground."""
    height, width = image.shape[:2]
    depth = height - horizon
    flat = np.dstack([noise(rng, 512, 1024, 1, 4), noise(rng, 512, 1024, 16, 256)])
    source = np.array([[0, 0], [1024, 0], [1024, 512], [0, 512]], np.float32)
    target = np.array([[width * 0.3, 0], [width * 0.7, 0], [width * 2, depth], [-width, depth]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    warped = cv2.warpPerspective(flat, matrix, (width, depth), borderMode=cv2.BORDER_REFLECT)
    shade = 1 + np.float32(rng.uniform(0.02, 0.1)) * warped[..., 0]
    if rng.random() < 0.5:
        shade *= 1 - np.clip((warped[..., 1] - rng.uniform(-0.3, 1.0)) * 5, 0, 1) * np.float32(rng.uniform(0.2, 0.6))
    ground = image[horizon:].astype(np.float32) * (shade[..., None] * light)
    image[horizon:] = np.clip(ground, 0, 255).astype(np.uint8)


def _buildings(
    image: Image, rng: np.random.Generator, horizon: int, vanishing_x: float, side: int, light: Field, day: float
) -> None:
    """Paints a row of houses whose edges run to the vanishing point, on the left (-1) or right (1)."""
    width = image.shape[1]
    reach = (width - vanishing_x) if side > 0 else vanishing_x
    foot = rng.uniform(0.1, 0.22)
    edges = reach * np.cumprod([rng.uniform(1.0, 1.3), *rng.uniform(0.5, 0.78, int(rng.integers(3, 6)))])
    for near, far in reversed(list(pairwise(edges))):
        tall = rng.uniform(0.35, 0.95)
        wall = pick(rng, _WALLS) * light * np.float32(rng.uniform(0.5, 1.1))
        _facade(image, rng, (vanishing_x, float(horizon)), side, (near, far, foot, tall), wall, day)


def _facade(
    image: Image,
    rng: np.random.Generator,
    vanishing: tuple[float, float],
    side: int,
    shape: tuple[float, float, float, float],
    wall: Field,
    day: float,
) -> None:
    """Paints one house front; ``shape`` is its near and far edge and its slopes to foot and roof."""
    near, far, foot, tall = shape

    def at(u: float, v: float) -> tuple[float, float]:
        """Returns the picture position of a spot on the wall: u from near to far, v from roof to foot."""
        # Interpolating the inverse distance gives the foreshortening of equal windows.
        distance = 1 / ((1 - u) / near + u / far)
        return vanishing[0] + side * distance, vanishing[1] + distance * (foot * v - tall * (1 - v))

    def panel(u0: float, u1: float, v0: float, v1: float, colour: Field) -> None:
        polygon(image, [at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)], colour)

    roof = pick(rng, [(92, 56, 48), (70, 70, 74), (110, 70, 56)]) * np.float32(wall.mean() / 180)
    panel(-0.02, 1.02, -rng.uniform(0.02, 0.16), 0, np.clip(roof, 0, 255))
    panel(0, 1, 0, 1, np.clip(wall, 0, 255))
    floors, columns = int(rng.integers(2, 6)), int(rng.integers(3, 8))
    glass = pick(rng, [(50, 56, 64), (34, 36, 40), (120, 134, 150)]) * np.float32(0.4 + 0.6 * day)
    frame = np.clip(wall * np.float32(rng.uniform(0.7, 1.25)), 0, 255)
    for row in range(floors):
        for column in range(columns):
            u, v = (column + 0.22) / columns, (row + 0.25) / (floors + 0.5)
            du, dv = 0.56 / columns, 0.6 / (floors + 0.5)
            lit = day < 0.45 and rng.random() < 0.3
            pane = np.array([240, 200, 120], np.float32) if lit else glass * np.float32(rng.uniform(0.7, 1.3))
            panel(u - 0.03 / columns, u + du + 0.03 / columns, v - 0.02, v + dv + 0.02, frame)
            panel(u, u + du, v, v + dv, np.clip(pane, 0, 255))
    if rng.random() < 0.4:
        sign = pick(rng, PAINTS) * np.float32(0.3 + 0.7 * day)
        panel(0.05, rng.uniform(0.4, 0.95), 0.8, 0.86, sign)


def foliage(image: Image, rng: np.random.Generator, x: float, y: float, rx: float, ry: float, colour: Field) -> None:
    """Paints leaves in a ragged ellipse around (x, y), with gaps that show the background."""
    height, width = image.shape[:2]
    left, right = int(max(x - 1.4 * rx, 0)), int(min(x + 1.4 * rx, width))
    top, bottom = int(max(y - 1.4 * ry, 0)), int(min(y + 1.4 * ry, height))
    if right - left < 2 or bottom - top < 2:
        return
    across = ((np.arange(left, right, dtype=np.float32) - x) / rx)[None, :]
    down = ((np.arange(top, bottom, dtype=np.float32) - y) / ry)[:, None]
    clumps = noise(rng, bottom - top, right - left, 8, 64)
    leaves = noise(rng, bottom - top, right - left, 2, 8)
    density = 0.75 - across * across - down * down + 0.28 * clumps + 0.3 * leaves
    mask = np.clip(density * 5, 0, 1)[..., None]
    shade = np.clip(0.85 + 0.16 * clumps + 0.26 * leaves - 0.25 * down, 0.15, 2.0)[..., None]
    area = image[top:bottom, left:right].astype(np.float32)
    area += (colour * shade - area) * mask
    image[top:bottom, left:right] = np.clip(area, 0, 255).astype(np.uint8)


def _tree(image: Image, rng: np.random.Generator, horizon: int, vanishing_x: float, light: Field) -> None:
    """Paints a tree or a bush beside the road, larger the farther it is from the vanishing point."""
    height, width = image.shape[:2]
    side = 1 if rng.random() < 0.5 else -1
    offset = rng.uniform(0.08, 0.75) * width
    x = vanishing_x + side * offset
    size = height * (0.06 + 0.42 * (offset / width)) * rng.uniform(0.6, 1.3)
    base = horizon + offset * rng.uniform(0.02, 0.14)
    colour = pick(rng, FOLIAGE) * light * np.float32(rng.uniform(0.5, 1.15))
    if rng.random() < 0.3:
        foliage(image, rng, x, base - 0.15 * size, 0.6 * size, 0.25 * size, colour)
        return
    bark = np.array([60, 50, 42], np.float32) * light * np.float32(rng.uniform(0.5, 1.2))
    trunk = size * 0.05
    polygon(
        image,
        [(x - trunk, base), (x - trunk * 0.5, base - size), (x + trunk * 0.5, base - size), (x + trunk, base)],
        bark,
    )
    for _ in range(6):
        tip = (int(x + rng.normal(0, 0.3) * size), int(base - size * rng.uniform(0.8, 1.6)))
        start = (int(x), int(base - size * rng.uniform(0.4, 0.9)))
        cv2.line(image, start, tip, [float(c) for c in bark], max(1, int(trunk * 0.4)), cv2.LINE_AA)
    foliage(image, rng, x, base - size * 1.1, size * rng.uniform(0.4, 0.7), size * rng.uniform(0.45, 0.7), colour)


def _haze(image: Image, rng: np.random.Generator, horizon: int, day: float) -> None:
    amount = rng.beta(1.2, 5) * 0.7
    if amount < 0.03:
        return
    rows = np.arange(image.shape[0], dtype=np.float32)
    veil = np.exp(-(((rows - horizon) / (0.18 * image.shape[0])) ** 2)) * np.float32(amount)
    colour = np.array([226, 228, 232], np.float32) * np.float32(0.3 + 0.7 * day)
    near = slice(max(horizon - image.shape[0] // 3, 0), horizon + image.shape[0] // 3)
    band = image[near].astype(np.float32)
    image[near] = (band + (colour - band) * veil[near, None, None]).astype(np.uint8)
