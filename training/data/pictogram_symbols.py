"""SVG elements of the signs: shapes, numbers, letters, and the figures of `pictograms.svg` by name.

Every function returns elements in the 100 x 100 units of a whole sign. They use no fonts, so a sign looks the same on
every machine and in every browser.
"""

import re
from pathlib import Path

BLACK = "#14110F"
GREY = "#6C6E71"
WHITE = "#FFFFFF"
RED = "#C1121C"
YELLOW = "#F7BA0B"
GREEN = "#12824C"
BLUE = "#154889"

_FILE = Path(__file__).with_name("pictograms.svg").read_text(encoding="utf-8")
_FIGURES = {
    name: "".join(elements.splitlines())
    for name, elements in re.findall(r'<svg id="(\w+)"[^>]*>(.*?)</svg>', _FILE, re.S)
}


def figure(name: str, *paints: tuple[str, str]) -> str:
    """Returns a figure of `pictograms.svg`, with each first colour of `paints` replaced by the second."""
    elements = _FIGURES[name]
    for old, new in paints:
        elements = elements.replace(old, new)
    return elements


def fill(data: str, colour: str = BLACK) -> str:
    """Returns a filled path with the path data ``data``."""
    return f'<path d="{data}" fill="{colour}"/>'


def stroke(data: str, width: float, colour: str = BLACK, cap: str = "butt", join: str = "miter") -> str:
    """Returns an unfilled path drawn with a pen ``width`` units wide."""
    return (
        f'<path d="{data}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-linecap="{cap}" stroke-linejoin="{join}" stroke-miterlimit="6"/>'
    )


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


def circling(arrow: str, first: int) -> str:
    """Returns three arrows chasing each other anticlockwise, the first turned by ``first`` degrees."""
    return "".join(moved(arrow, 50, 50, 1.0, first + turn) for turn in (0, 120, 240))
