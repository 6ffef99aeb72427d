"""What signs are drawn with: SVG shapes, the figures of `pictograms.svg` by name, frames, and the style of a sign.

Every function returns elements in the 100 x 100 units of a whole sign. They use no fonts, so a sign looks the same on
every machine and in every browser.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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

# A triangle whose corners are the centres of the rounded corners; its centre of gravity is (50, 63).
_TRIANGLE = "M50 11L95 88.9H5Z"
TRIANGLE_CENTRE = 63.0  # of gravity, from the top


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


def circling(arrow: str, first: int) -> str:
    """Returns three arrows chasing each other anticlockwise, the first turned by ``first`` degrees."""
    return "".join(moved(arrow, 50, 50, 1.0, first + turn) for turn in (0, 120, 240))


@dataclass(frozen=True)
class Style:
    """What differs between signs of one class: years and makers. The defaults are today's design."""

    design: int = 0  # index of the figure; beyond the last one it starts again
    rim: float = 1.0  # thickness of the coloured rim, in units of today's
    edge: float = 1.0  # of the white edge around it, in units of today's
    pen: float = 1.0  # of the figure's strokes, in units of today's
    width: float = 1.0  # of the figure, in units of today's
    height: float = 1.0  # of the figure, in units of today's
    shift: tuple[float, float] = (0.0, 0.0)  # of the figure to the right and downwards, in hundredths of the sign
    slant: float = 48.0  # of the stripes of a sign that ends a restriction, in degrees
    cleared: bool = False  # such stripes are bordered by white where they cross the figure
    paints: Mapping[str, str] = field(default_factory=dict)  # a colour, `#RRGGBB`, in place of each one of this module


TODAY = Style()


class Drawing(NamedTuple):
    """A sign: its frame, and its figure in one or more designs, today's first."""

    frame: Callable[[str, Style], str]
    figures: tuple[str, ...] = ("",)
    centre: float = 50.0  # of the figure, from the top

    def elements(self, style: Style) -> str:
        """Returns the SVG elements of the sign in a style."""
        figure = self.figures[style.design % len(self.figures)]
        if figure and style != TODAY:
            figure = _restyled(figure, style, self.centre)
        # One pass, so that a paint may have the name of another one.
        return re.sub("#[0-9A-F]{6}", lambda found: style.paints.get(found[0], found[0]), self.frame(figure, style))


def _restyled(figure: str, style: Style, centre: float) -> str:
    """Returns a figure drawn with another pen, stretched about its centre and shifted."""
    pens = re.sub('stroke-width="([^"]+)"', lambda w: f'stroke-width="{float(w[1]) * style.pen:.3g}"', figure)
    x, y = 50 * (1 - style.width) + style.shift[0], centre * (1 - style.height) + style.shift[1]
    return f'<g transform="matrix({style.width:.4g} 0 0 {style.height:.4g} {x:.4g} {y:.4g})">{pens}</g>'


def red_ring(figure: str, style: Style) -> str:
    """Returns a prohibition sign: white field with a red ring."""
    red = 49.6 - 1.4 * style.edge
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, red, RED) + disc(50, 50, 48.2 - 12.8 * style.rim, WHITE) + figure


def red_triangle(figure: str, style: Style) -> str:
    """Returns a danger sign: white triangle, point up, with a red border."""
    # Distances from the centre of gravity to the field's sides and, double, to its corners.
    reach = 30.05 - 9.2 * style.rim
    white = f"M50 {63 - 2 * reach:.2f}L{50 + 1.735 * reach:.2f} {63 + reach:.2f}H{50 - 1.735 * reach:.2f}Z"
    return (
        stroke(_TRIANGLE, 9.8, WHITE, join="round")
        + stroke(_TRIANGLE, max(9.8 - 1.8 * style.edge, 0), RED, join="round")
        + fill(_TRIANGLE, RED)
        + fill(white, WHITE)
        + figure
    )


def blue_disc(figure: str, style: Style) -> str:
    """Returns a mandatory sign: blue disc with a thin white edge."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 49.6 - 1.8 * style.edge, BLUE) + figure


def end_of(figure: str, style: Style) -> str:
    """Returns a sign that ends a restriction: grey figure, struck out by five diagonal stripes."""
    face = disc(50, 50, 49.6, WHITE) + disc(50, 50, 48.4, BLACK) + disc(50, 50, 48.4 - 2.8 * style.rim, WHITE)
    stripes = box(-44, -10.2, 88, 20.4, WHITE) if style.cleared else ""
    for offset in (-8.0, -4.0, 0.0, 4.0, 8.0):
        half = (47.0**2 - offset**2) ** 0.5
        stripes += box(-half, offset - style.pen, 2 * half, 2 * style.pen)
    return face + figure + moved(stripes, 50, 50, turn=-style.slant)


def give_way(figure: str, style: Style) -> str:
    """Returns the danger frame standing on its point."""
    return moved(red_triangle(figure, style), 100, 100, turn=180)


def stop(word: str, style: Style) -> str:
    """Returns the red octagon with a word on it."""
    return fill(_octagon(49.8), WHITE) + fill(_octagon(49.8 - 2.6 * style.edge), RED) + word


def _octagon(half_width: float) -> str:
    """Returns path data of a regular octagon with level sides, centred on the sign."""
    h, s = half_width, half_width * (2**0.5 - 1)
    corners = [(-s, -h), (s, -h), (h, -s), (h, s), (s, h), (-s, h), (-h, s), (-h, -s)]
    return "M" + "L".join(f"{50 + x:.2f} {50 + y:.2f}" for x, y in corners) + "Z"


def priority_road(centre: str, style: Style) -> str:
    """Returns the white square standing on its corner, with a black line around it."""
    edge = fill("M50 2.4L97.6 50L50 97.6L2.4 50Z", WHITE)
    rim = stroke("M50 3.4L96.6 50L50 96.6L3.4 50Z", 4.4, WHITE, join="round")
    line = stroke("M50 3.4L96.6 50L50 96.6L3.4 50Z", 1.7 * style.rim, BLACK, join="round")
    return rim + edge + line + centre


def red_disc(bar: str, style: Style) -> str:
    """Returns a red disc with a thin white edge."""
    return disc(50, 50, 49.6, WHITE) + disc(50, 50, 49.6 - 1.4 * style.edge, RED) + bar
