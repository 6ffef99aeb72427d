"""Vector drawings of the 43 traffic signs of GTSRB and GTSDB, by class id.

The drawings are our own and follow the German road traffic regulations (StVO). They serve two
purposes: raster templates for the drawn data set, and pictures on the web page.
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


def svg(class_id: int) -> str:
    """Returns the sign as a standalone SVG document of 100 x 100 units, transparent around the sign.

    The document has no ids, fonts or outside references, so it can be put into a page as it is.

    Raises:
        ValueError: if ``class_id`` is not a whole number from 0 to 42.
    """
    drawing = _DRAWINGS.get(class_id)
    if drawing is None:
        raise ValueError(f"no traffic sign has class id {class_id!r}: ids run from 0 to {CLASS_COUNT - 1}")
    return document(drawing())


def document(elements: str) -> str:
    """Returns SVG elements of 100 x 100 units as a standalone document."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{elements}</svg>'


@lru_cache(maxsize=256)
def render(class_id: int, size: int) -> npt.NDArray[np.uint8]:
    """Returns the sign as pixels: read-only uint8 [size, size, 4], straight (not premultiplied) RGBA.

    Raises:
        ValueError: if ``class_id`` is not from 0 to 42 or ``size`` (pixels) is below 1.
    """
    if size < 1:
        raise ValueError(f"the size of a rendered sign must be at least 1 pixel, not {size}")
    png = resvg_py.svg_to_bytes(svg_string=svg(class_id), width=size, height=size, skip_system_fonts=True)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.uint8).copy()
    # Every caller gets the same cached array, so nobody may write to it.
    pixels.setflags(write=False)
    return pixels
