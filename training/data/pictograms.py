"""Vector drawings of the 43 traffic signs of GTSRB and GTSDB, by class id.

The drawings are our own and follow the German road traffic regulations (StVO). They serve two
purposes: raster templates for the drawn data set, and pictures on the web page. The page shows
today's designs; the data set shows older ones, too, in the many thicknesses and paints of real signs.
"""

import io

import numpy as np
import numpy.typing as npt
import resvg_py
from PIL import Image

from traffic_signs.classes import NUM_CLASSES
from training.data.pictogram_frames import (
    BLACK,
    BLUE,
    GREY,
    RED,
    TODAY,
    TRIANGLE_CENTRE,
    WHITE,
    YELLOW,
    Drawing,
    Style,
    blue_disc,
    box,
    circling,
    disc,
    end_of,
    figure,
    fill,
    give_way,
    mirrored,
    moved,
    priority_road,
    red_disc,
    red_ring,
    red_triangle,
    stop,
    stroke,
)


def _yellow_square(half: float, line: float) -> str:
    """Returns the centre of a priority road's sign: a square on its corner in a black line."""
    path = f"M50 {50 - half}L{50 + half} 50L50 {50 + half}L{50 - half} 50Z"
    return fill(path, YELLOW) + stroke(path, line, BLACK)


def _limit(speed: str) -> Drawing:
    return _forbidden(figure(f"number_{speed}"), figure(f"narrow_{speed}"))


def _forbidden(*figures: str) -> Drawing:
    return Drawing(red_ring, figures)


def _danger(*figures: str) -> Drawing:
    return Drawing(red_triangle, figures, TRIANGLE_CENTRE)


def _end(*figures: str) -> Drawing:
    return Drawing(end_of, figures)


def _end_of_limit(speed: str) -> Drawing:
    numbers = (figure(f"{width}_{speed}", (BLACK, GREY)) for width in ("number", "narrow"))
    return _end(*(moved(number, -11, -11, 1.22) for number in numbers))


def _mandatory(*figures: str) -> Drawing:
    return Drawing(blue_disc, figures)


def _mirrored(drawing: Drawing) -> Drawing:
    return drawing._replace(figures=tuple(mirrored(figure) for figure in drawing.figures))


_ALL_GREY = ((RED, GREY), (BLACK, GREY))
_BEND = _danger(figure("bend_left"), figure("round_bend_left"))
_TURN = _mandatory(figure("arrow_right"), figure("solid_arrow_right"), figure("slim_arrow_right"))
_FORK = _mandatory(
    figure("arrow_ahead_or_right"), figure("curved_arrow_ahead_or_right"), figure("solid_arrow_ahead_or_right")
)
_PASS = _mandatory(figure("arrow_down_right"), figure("stout_arrow_down_right"), figure("solid_arrow_down_right"))

_DRAWINGS: dict[int, Drawing] = {
    0: _limit("20"),
    1: _limit("30"),
    2: _limit("50"),
    3: _limit("60"),
    4: _limit("70"),
    5: _limit("80"),
    6: _end_of_limit("80"),
    7: _limit("100"),
    8: _limit("120"),
    9: _forbidden(figure("two_cars"), figure("boxy_cars"), figure("cars_on_a_road")),
    10: _forbidden(figure("lorry_and_car"), figure("lorry_and_boxy_car"), figure("lorry_and_car_on_a_road")),
    11: _danger(figure("priority_here"), figure("bare_arrow")),
    12: Drawing(priority_road, (_yellow_square(29, 1.2), _yellow_square(26, 0.8))),
    13: Drawing(give_way),
    14: Drawing(stop, (figure("stop_word"),)),
    15: _forbidden(""),
    16: _forbidden(figure("lorry_side_on"), figure("short_lorry"), figure("bonneted_lorry")),
    17: Drawing(red_disc, (box(7, 42.4, 86, 15.2, WHITE), box(10, 41, 80, 18, WHITE))),
    18: _danger(figure("exclamation_mark")),
    19: _BEND,
    20: _mirrored(_BEND),
    21: _danger(figure("double_bend_left"), figure("narrow_double_bend_left")),
    22: _danger(figure("bumps"), figure("steep_bumps")),
    23: _danger(figure("skidding_car"), figure("skidding_boxy_car"), figure("skidding_round_car")),
    24: _danger(figure("narrowing_road"), figure("narrowing_thin_road")),
    25: _danger(figure("roadworks"), figure("bent_worker"), figure("digging_worker")),
    26: _danger(figure("traffic_lights"), figure("plain_traffic_lights")),
    27: _danger(figure("walker"), figure("striding_walker"), figure("walker_on_stripes")),
    28: _danger(figure("children"), figure("running_children")),
    29: _danger(figure("bicycle"), figure("small_bicycle")),
    30: _danger(figure("snowflake"), figure("stout_snowflake")),
    31: _danger(figure("leaping_deer"), figure("slender_deer")),
    32: _end(""),
    33: _TURN,
    34: _mirrored(_TURN),
    35: _mandatory(figure("arrow_ahead"), figure("solid_arrow_ahead")),
    36: _FORK,
    37: _mirrored(_FORK),
    38: _PASS,
    39: _mirrored(_PASS),
    40: _mandatory(
        circling(figure("roundabout_arrow"), 12),
        *(
            circling(figure(arrow), first)
            for first in (12, 72)
            for arrow in ("stout_roundabout_arrow", "solid_roundabout_arrow")
        ),
    ),
    41: _end(
        moved(figure("two_cars", *_ALL_GREY), -13.5, -12.6, 1.25), moved(figure("boxy_cars", *_ALL_GREY), -11, -10, 1.2)
    ),
    42: _end(
        moved(figure("lorry_and_car", *_ALL_GREY), -11.8, -12.4, 1.24),
        moved(figure("lorry_and_boxy_car", *_ALL_GREY), -10, -10, 1.2),
    ),
}


def _no_stopping(bars: str, style: Style) -> str:
    """Returns the blue disc with a red rim, which forbids stopping or parking by red bars."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 48.2, RED) + disc(50, 50, 48.2 - 9.6 * style.rim, BLUE) + bars


def _blue_square(symbol: str, style: Style) -> str:
    inset = 2 + 3 * style.edge
    return box(2, 2, 96, 96, WHITE, 6) + box(inset, inset, 100 - 2 * inset, 100 - 2 * inset, BLUE, 4) + symbol


def _town(name: str, style: Style) -> str:
    return box(2, 20, 96, 60, BLACK, 4) + box(4, 22, 92, 56, YELLOW, 3) + name


# German signs that are none of the 43, by name and number of the StVO: what a classifier of the 43 must not name.
OTHER_SIGNS: dict[str, Drawing] = {
    "no bicycles (254)": _forbidden(moved(figure("bicycle"), 5, -6, 0.9)),
    "no pedestrians (259)": _forbidden(moved(figure("walker"), 2.5, -4, 0.95)),
    "no cars (251)": _forbidden(moved(figure("car_end_on"), 50, 50, 1.8)),
    "no width above (264)": _forbidden(
        moved(figure("number_2"), 15, 15, 0.7) + box(17, 47, 14, 6) + box(69, 47, 14, 6)
    ),
    "speed limit 130 (274-130)": _limit("130"),
    "end of speed limit 60 (278-60)": _end_of_limit("60"),
    "no stopping (283)": Drawing(_no_stopping, (stroke("M22 22L78 78M78 22L22 78", 8, RED),)),
    "no parking (286)": Drawing(_no_stopping, (stroke("M22 22L78 78", 8, RED),)),
    "cycle path (237)": _mandatory(moved(figure("bicycle", (BLACK, WHITE)), -4, -14, 1.08)),
    "footpath (239)": _mandatory(moved(figure("walker", (BLACK, WHITE)), -5, -13, 1.1)),
    "buses only (245)": _mandatory(moved(figure("lorry_end_on", (BLACK, WHITE)), 50, 70, 1.2)),
    "turn left here (211)": _mandatory(stroke("M84 50H20", 9.4, WHITE) + stroke("M38 32L20 50L38 68", 9.4, WHITE)),
    "congestion (124)": _danger(
        "".join(moved(figure("car_end_on"), x, y, 0.62) for x, y in ((40, 76), (60, 76), (50, 60)))
    ),
    "two-way traffic (125)": _danger(
        stroke("M42 80V46M58 46V80", 5) + fill("M42 38L49 50H35Z") + fill("M58 88L51 76H65Z")
    ),
    "level crossing (151)": _danger(box(30, 62, 40, 12) + box(56, 48, 8, 16) + disc(38, 77, 4) + disc(60, 77, 4)),
    "end of priority road (307)": Drawing(
        priority_road, (_yellow_square(29, 1.2) + stroke("M20 80L80 20M26 86L86 26", 4, BLACK),)
    ),
    "parking (314)": Drawing(_blue_square, (stroke("M36 84V22H54A18 18 0 0 1 54 58H36", 11, WHITE),)),
    "pedestrian crossing (350)": Drawing(
        _blue_square, (fill("M50 14L90 84H10Z", WHITE) + moved(figure("walker"), 12, 12, 0.75),)
    ),
    "one-way street (220)": Drawing(_blue_square, (fill("M12 42H60V26L90 50L60 74V58H12Z", WHITE),)),
    "town (310)": Drawing(_town, (box(16, 34, 68, 12) + box(26, 56, 48, 8),)),
    "no through road (357)": Drawing(_blue_square, (box(44, 34, 12, 52, WHITE) + box(26, 22, 48, 14, RED),)),
}


def svg(sign: int | str, style: Style = TODAY) -> str:
    """Returns the sign as a standalone SVG document of 100 x 100 units, transparent around the sign.

    The document has no ids, fonts or external references, so it can be embedded in a page. Raises ValueError if there
    is no such ``sign``.
    """
    drawing = OTHER_SIGNS.get(sign) if isinstance(sign, str) else _DRAWINGS.get(sign)
    if drawing is None:
        raise ValueError(f"no traffic sign has class id {sign!r}: ids run from 0 to {NUM_CLASSES - 1}")
    return document(drawing.elements(style))


def document(elements: str) -> str:
    """Returns SVG elements of 100 x 100 units as a standalone document."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{elements}</svg>'


def render(sign: int | str, size: int, style: Style = TODAY) -> npt.NDArray[np.uint8]:
    """Returns the sign as pixels: uint8 [size, size, 4], straight (not premultiplied) RGBA.

    Raises ValueError if there is no such ``sign``, see `svg`, or ``size`` (pixels) is below 1.
    """
    if size < 1:
        raise ValueError(f"the size of a rendered sign must be at least 1 pixel, not {size}")
    png = resvg_py.svg_to_bytes(svg_string=svg(sign, style), width=size, height=size, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.uint8).copy()
