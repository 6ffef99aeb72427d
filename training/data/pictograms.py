"""Vector drawings of the 43 traffic signs of GTSRB and GTSDB, by class id.

The drawings are our own and follow the German road traffic regulations (StVO). They are the templates of the drawn
data set and the pictures on the web page.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from training.data import pictogram_symbols as symbols
from training.data.pictogram_symbols import BLACK, GREY, RED, WHITE, YELLOW, box, disc, fill, moved

BLUE = "#154889"
CLASS_COUNT = 43

# A triangle whose corners are the centres of the rounded corners; its centre of gravity is (50, 63).
_TRIANGLE = "M50 11L95 88.9H5Z"
_TRIANGLE_FIELD = "M50 21.4L86.1 83.9H13.9Z"


def red_ring(symbol: str) -> str:
    """Returns a prohibition sign: white field with a red ring."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 48.2, RED) + disc(50, 50, 35.4, WHITE) + symbol


def red_triangle(symbol: str) -> str:
    """Returns a danger sign: white triangle, point up, with a red border."""
    edge = symbols.stroke(_TRIANGLE, 9.8, WHITE, join="round")
    return (
        edge
        + symbols.stroke(_TRIANGLE, 8, RED, join="round")
        + fill(_TRIANGLE, RED)
        + fill(_TRIANGLE_FIELD, WHITE)
        + symbol
    )


def blue_disc(symbol: str) -> str:
    """Returns a mandatory sign: blue disc with a thin white edge."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 47.8, BLUE) + symbol


def end_of(symbol: str) -> str:
    """Returns a sign that ends a restriction: grey symbol, struck out by five diagonal stripes."""
    face = disc(50, 50, 49.6, WHITE) + disc(50, 50, 48.4, BLACK) + disc(50, 50, 45.6, WHITE)
    stripes = ""
    for offset in (-8.0, -4.0, 0.0, 4.0, 8.0):
        half = (47.0**2 - offset**2) ** 0.5
        stripes += box(-half, offset - 1.0, 2 * half, 2.0)
    return face + symbol + moved(stripes, 50, 50, turn=-48)


def give_way() -> str:
    """Returns the danger frame standing on its point, empty."""
    return moved(red_triangle(""), 100, 100, turn=180)


def stop() -> str:
    """Returns the red octagon with the word STOP."""
    return fill(_octagon(49.8), WHITE) + fill(_octagon(47.2), RED) + symbols.stop_word()


def _octagon(half_width: float) -> str:
    """Returns path data of a regular octagon with level sides, centred on the sign."""
    h, s = half_width, half_width * (2**0.5 - 1)
    corners = [(-s, -h), (s, -h), (h, -s), (h, s), (s, h), (-s, h), (-h, s), (-h, -s)]
    return "M" + "L".join(f"{50 + x:.2f} {50 + y:.2f}" for x, y in corners) + "Z"


def priority_road() -> str:
    """Returns the yellow square standing on its corner in a white one."""
    edge = fill("M50 2.4L97.6 50L50 97.6L2.4 50Z", WHITE)
    rim = symbols.stroke("M50 3.4L96.6 50L50 96.6L3.4 50Z", 4.4, WHITE, join="round")
    line = symbols.stroke("M50 3.4L96.6 50L50 96.6L3.4 50Z", 1.7, BLACK, join="round")
    centre = fill("M50 21L79 50L50 79L21 50Z", YELLOW)
    return rim + edge + line + centre + symbols.stroke("M50 21L79 50L50 79L21 50Z", 1.2, BLACK)


def no_entry() -> str:
    """Returns the red disc with the white bar."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 48.2, RED) + box(7, 42.4, 86, 15.2, WHITE)


_DRAWINGS: dict[int, Callable[[], str]] = {
    0: lambda: red_ring(symbols.number("20")),
    1: lambda: red_ring(symbols.number("30")),
    2: lambda: red_ring(symbols.number("50")),
    3: lambda: red_ring(symbols.number("60")),
    4: lambda: red_ring(symbols.number("70")),
    5: lambda: red_ring(symbols.number("80")),
    6: lambda: end_of(symbols.moved(symbols.number("80", GREY), -11, -11, 1.22)),
    7: lambda: red_ring(symbols.number("100")),
    8: lambda: red_ring(symbols.number("120")),
    9: lambda: red_ring(symbols.two_cars(RED, BLACK)),
    10: lambda: red_ring(symbols.lorry_and_car(RED, BLACK)),
    11: lambda: red_triangle(symbols.priority_here()),
    12: priority_road,
    13: give_way,
    14: stop,
    15: lambda: red_ring(""),
    16: lambda: red_ring(symbols.lorry_side_on()),
    17: no_entry,
    18: lambda: red_triangle(symbols.exclamation_mark()),
    19: lambda: red_triangle(symbols.bend_left()),
    20: lambda: symbols.mirrored(red_triangle(symbols.bend_left())),
    21: lambda: red_triangle(symbols.double_bend_left()),
    22: lambda: red_triangle(symbols.bumps()),
    23: lambda: red_triangle(symbols.skidding_car()),
    24: lambda: red_triangle(symbols.narrowing_road()),
    25: lambda: red_triangle(symbols.roadworks()),
    26: lambda: red_triangle(symbols.traffic_lights()),
    27: lambda: red_triangle(symbols.walker()),
    28: lambda: red_triangle(symbols.children()),
    29: lambda: red_triangle(symbols.bicycle()),
    30: lambda: red_triangle(symbols.snowflake()),
    31: lambda: red_triangle(symbols.leaping_deer()),
    32: lambda: end_of(""),
    33: lambda: blue_disc(symbols.arrow_right()),
    34: lambda: symbols.mirrored(blue_disc(symbols.arrow_right())),
    35: lambda: blue_disc(symbols.arrow_ahead()),
    36: lambda: blue_disc(symbols.arrow_ahead_or_right()),
    37: lambda: symbols.mirrored(blue_disc(symbols.arrow_ahead_or_right())),
    38: lambda: blue_disc(symbols.arrow_down_right()),
    39: lambda: symbols.mirrored(blue_disc(symbols.arrow_down_right())),
    40: lambda: blue_disc(symbols.roundabout_arrows()),
    41: lambda: end_of(symbols.moved(symbols.two_cars(GREY, GREY), -13.5, -12.6, 1.25)),
    42: lambda: end_of(symbols.moved(symbols.lorry_and_car(GREY, GREY), -11.8, -12.4, 1.24)),
}


def _white(symbol: str) -> str:
    return symbol.replace(BLACK, WHITE)


def _no_stopping(bars: str) -> str:
    """Returns the blue disc with a red rim, which forbids stopping or parking by red bars."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 48.2, RED) + disc(50, 50, 38.6, BLUE) + symbols.stroke(bars, 8, RED)


def _square(colour: str, symbol: str) -> str:
    return box(2, 2, 96, 96, WHITE, 6) + box(5, 5, 90, 90, colour, 4) + symbol


# German signs outside the 43 classes, by name and number of the StVO; a classifier must answer "unknown" for them.
OTHER_SIGNS: dict[str, Callable[[], str]] = {
    "no bicycles (254)": lambda: red_ring(moved(symbols.bicycle(), 5, -6, 0.9)),
    "no pedestrians (259)": lambda: red_ring(moved(symbols.walker(), 2.5, -4, 0.95)),
    "no cars (251)": lambda: red_ring(moved(symbols.car_end_on(BLACK), 50, 50, 1.8)),
    "no width above (264)": lambda: red_ring(
        moved(symbols.number("2"), 15, 15, 0.7) + box(17, 47, 14, 6) + box(69, 47, 14, 6)
    ),
    "speed limit 130 (274-130)": lambda: red_ring(symbols.number("130")),
    "end of speed limit 60 (278-60)": lambda: end_of(moved(symbols.number("60", GREY), -11, -11, 1.22)),
    "no stopping (283)": lambda: _no_stopping("M22 22L78 78M78 22L22 78"),
    "no parking (286)": lambda: _no_stopping("M22 22L78 78"),
    "cycle path (237)": lambda: blue_disc(_white(moved(symbols.bicycle(), -4, -14, 1.08))),
    "footpath (239)": lambda: blue_disc(_white(moved(symbols.walker(), -5, -13, 1.1))),
    "buses only (245)": lambda: blue_disc(_white(moved(symbols.lorry_end_on(BLACK), 50, 70, 1.2))),
    "turn left here (211)": lambda: blue_disc(
        symbols.stroke("M84 50H20", 9.4, WHITE) + symbols.stroke("M38 32L20 50L38 68", 9.4, WHITE)
    ),
    "congestion (124)": lambda: red_triangle(
        "".join(moved(symbols.car_end_on(BLACK), x, y, 0.62) for x, y in ((40, 76), (60, 76), (50, 60)))
    ),
    "two-way traffic (125)": lambda: red_triangle(
        symbols.stroke("M42 80V46M58 46V80", 5) + fill("M42 38L49 50H35Z") + fill("M58 88L51 76H65Z")
    ),
    "level crossing (151)": lambda: red_triangle(
        box(30, 62, 40, 12) + box(56, 48, 8, 16) + disc(38, 77, 4) + disc(60, 77, 4)
    ),
    "end of priority road (307)": lambda: priority_road() + symbols.stroke("M20 80L80 20M26 86L86 26", 4, BLACK),
    "parking (314)": lambda: _square(BLUE, symbols.stroke("M36 84V22H54A18 18 0 0 1 54 58H36", 11, WHITE)),
    "pedestrian crossing (350)": lambda: _square(
        BLUE, fill("M50 14L90 84H10Z", WHITE) + moved(symbols.walker(), 12, 12, 0.75)
    ),
    "one-way street (220)": lambda: _square(BLUE, fill("M12 42H60V26L90 50L60 74V58H12Z", WHITE)),
    "town (310)": lambda: (
        box(2, 20, 96, 60, BLACK, 4) + box(4, 22, 92, 56, YELLOW, 3) + box(16, 34, 68, 12) + box(26, 56, 48, 8)
    ),
    "no through road (357)": lambda: _square(BLUE, box(44, 34, 12, 52, WHITE) + box(26, 22, 48, 14, RED)),
}


def svg(sign: int | str) -> str:
    """Returns the sign as an SVG document of 100 x 100 units, transparent around the sign.

    The document has no ids, fonts or external references, so it can be embedded in a page.

    Args:
        sign: a class id, or one of the names of OTHER_SIGNS.

    Raises:
        ValueError: if ``sign`` is neither.
    """
    drawing = OTHER_SIGNS.get(sign) if isinstance(sign, str) else _DRAWINGS.get(sign)
    if drawing is None:
        raise ValueError(f"no traffic sign has class id {sign!r}: ids run from 0 to {CLASS_COUNT - 1}")
    return document(drawing())


def document(elements: str) -> str:
    """Returns SVG elements of 100 x 100 units as a standalone document."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{elements}</svg>'


@lru_cache(maxsize=256)
def render(sign: int | str, size: int) -> npt.NDArray[np.uint8]:
    """Returns the sign as pixels: read-only uint8 [size, size, 4], straight (not premultiplied) RGBA.

    Raises:
        ValueError: if there is no such ``sign``, see `svg`, or ``size`` (pixels) is below 1.
    """
    if size < 1:
        raise ValueError(f"the size of a rendered sign must be at least 1 pixel, not {size}")
    png = resvg_py.svg_to_bytes(svg_string=svg(sign), width=size, height=size, skip_system_fonts=True)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.uint8).copy()
    # Read-only, because all callers share the cached array.
    pixels.setflags(write=False)
    return pixels
