"""SVG symbols of the signs: numbers, letters, arrows, vehicles, people and animals.

Every function returns SVG elements in the 100 x 100 units of a whole sign. They use no fonts, so a sign looks the same
on every machine and in every browser.
"""

from __future__ import annotations

BLACK = "#14110F"
GREY = "#6C6E71"
WHITE = "#FFFFFF"
RED = "#C1121C"
YELLOW = "#F7BA0B"
GREEN = "#12824C"
BLUE = "#154889"


def fill(data: str, colour: str = BLACK) -> str:
    """Returns a filled path with the path data ``data``."""
    return f'<path d="{data}" fill="{colour}"/>'


def stroke(data: str, width: float, colour: str = BLACK, cap: str = "butt", join: str = "miter") -> str:
    """Returns an unfilled path drawn with a pen ``width`` units wide."""
    return (
        f'<path d="{data}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-linecap="{cap}" stroke-linejoin="{join}" stroke-miterlimit="6"/>'
    )


def limb(data: str, width: float, colour: str = BLACK) -> str:
    """Returns a path drawn with a round pen, as arms and legs are."""
    return stroke(data, width, colour, cap="round", join="round")


def disc(x: float, y: float, radius: float, colour: str = BLACK) -> str:
    """Returns a filled circle."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{colour}"/>'


def box(x: float, y: float, width: float, height: float, colour: str = BLACK, radius: float = 0.0) -> str:
    """Returns a filled rectangle with corners rounded by ``radius``."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{colour}"/>'


def moved(elements: str, x: float, y: float, scale: float = 1.0, turn: float = 0.0) -> str:
    """Returns ``elements`` turned by ``turn`` degrees, scaled, then moved by (x, y)."""
    return f'<g transform="translate({x:g} {y:g}) rotate({turn:g}) scale({scale:g})">{elements}</g>'


def mirrored(elements: str) -> str:
    """Returns ``elements`` with left and right exchanged."""
    return f'<g transform="matrix(-1 0 0 1 100 0)">{elements}</g>'


def _loop(left: float, right: float, top: float, bottom: float) -> str:
    """Returns path data of a closed upright oval with straight flanks."""
    a = min(right - left, bottom - top) / 2
    return (
        f"M{left} {top + a}A{a} {a} 0 0 1 {left + a} {top}H{right - a}A{a} {a} 0 0 1 {right} {top + a}"
        f"V{bottom - a}A{a} {a} 0 0 1 {right - a} {bottom}H{left + a}A{a} {a} 0 0 1 {left} {bottom - a}Z"
    )


def _glyph(character: str, w: float, h: float, s: float) -> str:
    """Returns pen path data of one character in a box ``w`` x ``h`` for a pen ``s`` wide."""
    left, right, top, bottom = s / 2, w - s / 2, s / 2, h - s / 2
    a = (w - s) / 2
    crown = f"M{left} {top + a}A{a} {a} 0 0 1 {right} {top + a}"
    foot = f"V{bottom - a}A{a} {a} 0 0 1 {left} {bottom - a}"
    waist = 0.38 * h + s * 0.1
    middle = 0.48 * h
    q = middle - top - a
    glyphs = {
        "0": _loop(left, right, top, bottom),
        "1": f"M{right} 0V{h}M{right} {0.5 * s}L{0.1 * s} {0.28 * h}",
        "2": f"{crown}C{right} {0.52 * h} {left + 0.02 * w} {0.68 * h} {left} {bottom}H{w}",
        "3": f"{crown}A{q} {q} 0 0 1 {right - q} {middle}H{0.36 * w}"
        f"M{right - q} {middle}A{q} {q} 0 0 1 {right} {middle + q}{foot}",
        "5": f"M{0.95 * w} {top}H{left + 0.09 * a}V{waist + 0.5 * a}"
        f"M{left + 0.12 * a} {waist + 0.68 * a}A{a} {a} 0 0 1 {right} {waist + a}{foot}",
        "6": f"{_loop(left, right, waist, bottom)}"
        f"M{left} {bottom - a}V{waist + a}C{left} {0.36 * h} {0.38 * w} {0.2 * h} {0.64 * w} 0",
        "7": f"M0 {top}H{right - 0.05 * w}L{0.38 * w} {h}M{left} 0V{0.2 * h}",
        "8": _loop(left + 0.04 * w, right - 0.04 * w, top, 0.47 * h) + _loop(left, right, 0.47 * h, bottom),
        "S": f"M{right} {top + a}A{a} {a} 0 0 0 {left} {top + a}"
        f"C{left} {0.54 * h} {right} {0.46 * h} {right} {bottom - a}A{a} {a} 0 0 1 {left} {bottom - a}",
        "T": f"M0 {top}H{w}M{w / 2} {top}V{h}",
        "O": _loop(left, right, top, bottom),
        "P": f"M{left} {h}V{top}H{right - a}A{a} {a} 0 0 1 {right} {top + a}"
        f"V{0.56 * h - a}A{a} {a} 0 0 1 {right - a} {0.56 * h}H{left}",
    }
    return glyphs[character]


def _line_of_glyphs(text: str, widths: dict[str, float], h: float, s: float, gap: float, colour: str) -> str:
    """Returns ``text`` centred on the sign; ``widths`` gives each character's box width."""
    x = 50 - (sum(widths[c] for c in text) + gap * (len(text) - 1)) / 2
    parts = []
    for character in text:
        pen = stroke(_glyph(character, widths[character], h, s), s, colour)
        parts.append(moved(pen, x, 50 - h / 2))
        x += widths[character] + gap
    return "".join(parts)


def number(text: str, colour: str = BLACK) -> str:
    """Returns a speed in km/h: broad digits for one or two places, narrow ones for three."""
    if len(text) < 3:
        return _line_of_glyphs(text, dict.fromkeys("0235678", 23.8), 43.4, 5.9, 4.2, colour)
    return _line_of_glyphs(text, {"1": 11.4, "2": 19.2, "3": 19.2, "0": 19.2}, 43.4, 5.7, 3.2, colour)


def narrow_number(text: str, colour: str = BLACK) -> str:
    """Returns a speed in km/h in slimmer digits, which are smaller, too, where there are three."""
    if len(text) < 3:
        return _line_of_glyphs(text, dict.fromkeys("0235678", 20.6), 42, 5.2, 5.2, colour)
    return _line_of_glyphs(text, {"1": 9.6, "2": 16.4, "3": 16.4, "0": 16.4}, 37, 4.8, 3.6, colour)


def stop_word() -> str:
    """Returns the word STOP in white."""
    return _line_of_glyphs("STOP", {"S": 16.5, "T": 17.0, "O": 17.5, "P": 16.5}, 33, 5.8, 3.6, WHITE)


def car_end_on(colour: str) -> str:
    """Returns a car seen from behind, about 27 x 18 units around the origin."""
    body = (
        "M-8.6 -9H8.6Q9.6 -9 10 -8L12.2 -2.2Q13.8 -1.6 13.8 0.4V4.8Q13.8 5.8 12.8 5.8H-12.8"
        "Q-13.8 5.8 -13.8 4.8V0.4Q-13.8 -1.6 -12.2 -2.2L-10 -8Q-9.6 -9 -8.6 -9Z"
        "M-7.7 -6.9L-9.5 -2.2H9.5L7.7 -6.9Z"
    )
    # Even-odd leaves the rear window open, so that the sign's own white shows through.
    window = f'<path fill-rule="evenodd" d="{body}" fill="{colour}"/>'
    return window + box(-11.8, 4.8, 4.4, 4.2, colour, 0.7) + box(7.4, 4.8, 4.4, 4.2, colour, 0.7)


def lorry_end_on(colour: str) -> str:
    """Returns a lorry seen from behind, about 25 x 33 units, its wheels standing on y = 0."""
    return (
        box(-12.5, -33, 25, 24.5, colour)
        + box(-11, -7.2, 4.4, 7.2, colour, 0.6)
        + box(-5.9, -7.2, 2.6, 7.2, colour, 0.6)
        + box(3.3, -7.2, 2.6, 7.2, colour, 0.6)
        + box(6.6, -7.2, 4.4, 7.2, colour, 0.6)
        + box(-9, -4.6, 18, 2.2, colour)
    )


def two_cars(left: str, right: str) -> str:
    """Returns a car overtaking another: the two colours from left to right."""
    return moved(car_end_on(left), 33.6, 50.5, 1.06) + moved(car_end_on(right), 66.4, 50.5, 1.06)


def lorry_and_car(left: str, right: str) -> str:
    """Returns a lorry overtaking a car: the two colours from left to right."""
    return moved(lorry_end_on(left), 35.5, 67) + moved(car_end_on(right), 65.6, 58.2, 1.0)


def lorry_side_on() -> str:
    """Returns a lorry driving to the left."""
    cab = "M21.5 64.5V54.2Q21.5 52.8 22.2 51.6L26 44.6Q26.6 43.5 28 43.5H36.5V64.5ZM25 52.6H33V46.3H28.2Z"
    wheels = "".join(disc(x, 65.4, 6.2, WHITE) + disc(x, 65.4, 4.7) for x in (30.3, 60.2, 71.8))
    return (
        f'<path fill-rule="evenodd" d="{cab}" fill="{BLACK}"/>'
        + box(38.4, 35, 41.6, 24.6)
        + box(36, 60.8, 43, 3.7)
        + wheels
    )


def exclamation_mark() -> str:
    """Returns the mark of a danger spot."""
    return fill("M45.4 38Q45.4 33.4 50 33.4Q54.6 33.4 54.6 38L52 66.5H48Z") + disc(50, 74.8, 4.9)


def priority_here() -> str:
    """Returns the thick upright arrow crossing a thin side road."""
    arrow = "M50 40.8L58.8 51.4V80.5L50 74.3L41.2 80.5V51.4Z"
    return fill(arrow) + box(33.4, 57.8, 33.2, 5.2)


def bend_left() -> str:
    """Returns a road with a pointed end and a notched tail that bends to the left."""
    return fill(
        "M36.4 56.6L43.2 51.8H50.6C59.6 51.8 64.4 56.6 64.4 65.4V80.6L59.6 76.2L54.8 80.6V66.6"
        "C54.8 62.6 53 61 49.2 61H43.2Z"
    )


def double_bend_left() -> str:
    """Returns a road that, from its notched tail upwards, swings to the left and then on upwards."""
    return fill(
        "M44.8 38.4L49.4 47.6V61.2L59.4 56.4Q62 55.4 64.4 57.2Q66.8 59.2 66.8 62V80.8L62.2 76.4L57.6 80.8V65.6"
        "L48 70.2Q44.6 71.4 42 69.2Q40.2 67.6 40.2 65V47.6Z"
    )


def bumps() -> str:
    """Returns two humps on a road."""
    return fill(
        "M27.6 80.2V75.4H34.4C37.6 75.4 37.8 67.6 42.4 67.6S47.2 73.6 50 73.6S53 67.6 57.6 67.6S62.4 75.4 65.6 75.4"
        "H72.4V80.2Z"
    )


def skidding_car() -> str:
    """Returns a tilted car leaving two winding tracks."""
    tracks = (
        "M38.4 71.6C44.6 70.8 47.6 72.2 44 74C39.4 76 31.6 76.4 31.4 78.8C31.4 81.4 38.6 80.8 44.6 80.2",
        "M53.6 72.8C60.6 72.8 66.8 73.6 63.8 76C61.4 77.8 60.6 79.8 71.2 80.6",
    )
    car = moved(car_end_on(BLACK), 50.2, 57.4, 1.1, 14)
    return car + "".join(stroke(track, 2.4, cap="round") for track in tracks)


def narrowing_road() -> str:
    """Returns a road whose right-hand edge steps inwards."""
    return box(41.2, 41, 5.4, 39) + fill("M53.4 41H58.6V55.4L64 63.6V80H58.6V66L53.4 57.8Z")


def roadworks() -> str:
    """Returns a worker shovelling a heap."""
    worker = (
        disc(52.3, 40.2, 4.1)
        + fill("M45.4 44.2Q50.6 43.8 52.4 47.2L46.4 62.6L36.6 60.8L41.2 48.4Q42.6 44.8 45.4 44.2Z")
        + limb("M38.8 60.6L35.6 69.4L31 79", 4.4)
        + limb("M43.2 61L46.2 69.6L43.6 79", 4.4)
        + limb("M29.6 79.2H31.4M42.6 79.2H45.4", 2.8)
        + limb("M50 47.6L54.6 56.2L58.4 61.6", 3.4)
    )
    shovel = stroke("M41 56.4L66.5 66.2", 2.0) + fill("M55.8 59.9L58.6 62.9L55 64.5Z")
    heap = fill("M48.6 80.6L57.4 70.4Q59.8 71.2 61.6 68.2Q64.4 64.8 67.6 67.8L79.4 80.6Z")
    return worker + shovel + heap


def traffic_lights() -> str:
    """Returns the three lights, one above the other."""
    lights = zip((43.4, 57.4, 71.4), (RED, YELLOW, GREEN), strict=True)
    return "".join(disc(50, y, 6.5) + disc(50, y, 5.7, colour) for y, colour in lights)


def walker() -> str:
    """Returns a pedestrian walking to the left."""
    return (
        disc(49.4, 38.4, 4.3)
        + fill("M46.4 44H53.4Q56.4 44.4 56.6 47.6L55.6 63.4H45.6L44.4 47.2Q44.4 44.4 46.4 44Z")
        + limb("M54.8 46.6L60 54.6L59 62", 3.1)
        + limb("M45.8 46.8L42.8 55L38.8 60.4", 3.1)
        + limb("M48 62.6L45.6 70.4L40.4 79", 4.4)
        + limb("M53 62.6L55.4 70.6L60.6 79", 4.4)
        + limb("M37.8 79.4H40.4M58.6 79.6H60.6", 2.4)
    )


def children() -> str:
    """Returns a small child and a bigger one, running to the left with their arms out."""
    small = (
        disc(35.8, 57.2, 3.3)
        + fill("M33.6 61.4L39.6 61L41.8 72.4H32.6Z")
        + limb("M34.4 62.6L30.4 67.2L27.2 64.6", 2.5)
        + limb("M39 62.2L43.2 63.8L46.8 61", 2.4)
        + limb("M35.2 71.6L35.8 81H33.2", 2.8)
        + limb("M39.4 71.6L41.6 75.8L46.8 75.6", 2.8)
    )
    big = (
        disc(54.8, 47.6, 3.9)
        + fill("M51.2 53.2Q55 51.8 58.4 53.8L59.8 70H52.8Z")
        + limb("M52 54.6L46.4 58.2L41.8 55", 3.0)
        + limb("M58 55.2L64.6 59.6L68.8 65.6", 2.9)
        + limb("M54.6 69L54 75.6L55 81.2H52.2", 3.6)
        + limb("M58 69L62.6 75L69 78.6", 3.6)
    )
    return small + big


def bicycle() -> str:
    """Returns a bicycle facing to the left."""
    wheels = "".join(
        f'<circle cx="{x}" cy="70.6" r="9.2" fill="none" stroke="{BLACK}" stroke-width="2.3"/>' for x in (33.2, 66.8)
    )
    frame = "M41.4 54.6L51 70.6L60.6 56.2H42.2M60.6 56.2L66.8 70.6H51"
    machine = (
        wheels
        + stroke(frame, 2.3, join="round")
        + stroke("M33.2 70.6L41.6 50.2", 2.3)
        + limb("M36.8 50.4Q37.2 48.4 39.6 48.6H44", 2.2)
        + stroke("M51 70.6L61.8 53", 2.3)
        + fill("M57.4 50.6H67Q67.6 53 64.4 53.4L58.6 53.2Q56.6 52 57.4 50.6Z")
        + disc(51, 70.6, 2.5)
        + disc(33.2, 70.6, 1.7)
        + disc(66.8, 70.6, 1.7)
    )
    return moved(machine, 4.5, 7.4, 0.91)


def snowflake() -> str:
    """Returns a snow crystal with six feathered arms."""
    arm = stroke("M0 0V-16.6M-5.3 -14.8L0 -9.6L5.3 -14.8", 3.9, cap="round")
    return "".join(moved(arm, 50, 63, 0.9, turn) for turn in range(0, 360, 60))


def leaping_deer() -> str:
    """Returns a stag leaping to the left."""
    body = (
        "M35.6 47.2L40.8 44.6L44.2 44.8L46 47.6L48.4 54.2C53 55.4 58 57.2 61.6 60.6C64.6 63.2 65.6 65.4"
        " 65.6 67.6L70.2 72.4L73.4 80.2L70.8 80.4L67.6 74.4L61.2 70.6C58.6 69 56.4 66.6 53.4 66"
        "C50 65.6 47.4 65 45 62.8C42.6 60.4 42 55.6 41.2 50.2L36.6 49.6Z"
    )
    deer = (
        fill(body)
        + limb("M45 62L36.8 60L33 64.4", 2.5)
        + limb("M47.4 63.8L41.4 64.8L38.6 69", 2.5)
        + limb("M58.6 68L64.6 74.2L66.4 80", 2.3)
        + limb("M64.8 62.6L67.2 61.6", 2.0)
        + limb("M43.4 45.4C44.6 42.4 43.8 40 45.6 36.6M44 42L40.8 38.6", 1.5)
        + limb("M44.6 44.6C48 43.2 48.4 40.6 50.4 38.8M47.4 42.6V38.4", 1.5)
    )
    return moved(deer, 5.4, 4.8, 0.94)


def arrow_ahead() -> str:
    """Returns the white arrow pointing up."""
    return stroke("M50 86V18", 9.4, WHITE) + stroke("M31.6 40.4L50 19.6L68.4 40.4", 9.4, WHITE)


def arrow_right() -> str:
    """Returns the white arrow coming from below and turning right."""
    head = stroke("M57.6 19.6L77 36.4L57.6 53.2", 9.4, WHITE)
    return stroke("M38 82V56.4Q38 36.4 58 36.4H75", 9.4, WHITE) + head


def arrow_ahead_or_right() -> str:
    """Returns the white arrow that forks straight ahead and to the right."""
    return (
        stroke("M41 89V17", 8.6, WHITE)
        + stroke("M26.4 34.4L41 18L55.6 34.4", 8.6, WHITE)
        + stroke("M41 82V73Q41 60.6 53 60.6H83", 8.6, WHITE)
        + stroke("M68.6 45.2L84.6 60.6L68.6 76", 8.6, WHITE)
    )


def arrow_down_right() -> str:
    """Returns the white arrow pointing down and to the right."""
    return stroke("M25 25L70 70", 9.8, WHITE) + stroke("M72.4 40.4V72.4H40.4", 9.8, WHITE)


def roundabout_arrows() -> str:
    """Returns three arrows chasing each other anticlockwise, as traffic keeps to the right."""
    # An arc of radius 31.5 from -18 to 74 degrees; the head lies along the tangent at 75 degrees.
    arc = stroke("M30 9.7A31.5 31.5 0 0 0 8.7 -30.3", 5.6, WHITE)
    head = stroke("M19 -38.6L4.6 -31.4L13.4 -18", 5.2, WHITE)
    return "".join(moved(arc + head, 50, 50, 1.0, turn) for turn in (12, 132, 252))
