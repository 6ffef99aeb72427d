"""Tests of the vector drawings of the 43 signs."""

import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from traffic_signs.classes import NUM_CLASSES
from training.data.pictogram_frames import RED, Style
from training.data.pictograms import render, svg

SIZE = 64
# Measured: the closest pair, the limits 30 and 80, differs by 3.3 on average; the same sign would by 0.
CLEARLY_DIFFERENT = 2.0
PLAIN_ELEMENTS = {"svg", "g", "path", "polygon", "circle", "rect"}


def _on_grey(class_id: int, size: int = SIZE) -> npt.NDArray[np.float64]:
    pixels = render(class_id, size).astype(np.float64)
    alpha = pixels[..., 3:] / 255
    return pixels[..., :3] * alpha + 128 * (1 - alpha)


@pytest.mark.parametrize("class_id", range(NUM_CLASSES))
def test_every_sign_renders_with_transparent_corners(class_id: int) -> None:
    pixels = render(class_id, SIZE)

    assert pixels.shape == (SIZE, SIZE, 4)
    assert pixels.dtype == np.uint8
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1], 3]
    assert corners.max() == 0
    assert pixels[SIZE // 2, SIZE // 2, 3] == 255
    # The sign fills the drawing: no wasted border on its long side.
    rows, columns = np.nonzero(pixels[..., 3] > 127)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 >= 0.93 * SIZE


def test_all_signs_differ_clearly() -> None:
    pictures = [_on_grey(class_id) for class_id in range(NUM_CLASSES)]

    distances = {
        (a, b): float(np.abs(pictures[a] - pictures[b]).mean())
        for a, b in itertools.combinations(range(NUM_CLASSES), 2)
    }

    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] > CLEARLY_DIFFERENT, f"classes {closest} look alike: {distances[closest]:.2f}"


@pytest.mark.parametrize(("one", "other"), [(19, 20), (33, 34), (36, 37), (38, 39)])
def test_pairs_mirror_each_other(one: int, other: int) -> None:
    difference = np.abs(_on_grey(one)[:, ::-1] - _on_grey(other))

    assert difference.mean() < 0.5
    assert np.abs(_on_grey(one) - _on_grey(other)).mean() > CLEARLY_DIFFERENT


@pytest.mark.parametrize("class_id", range(NUM_CLASSES))
def test_svg_is_plain_and_standalone(class_id: int) -> None:
    root = ET.fromstring(svg(class_id))

    assert root.get("viewBox") == "0 0 100 100"
    assert {element.tag.split("}")[1] for element in root.iter()} <= PLAIN_ELEMENTS
    assert not any("id" in element.attrib or "href" in element.attrib for element in root.iter())


@pytest.mark.parametrize("class_id", [-1, 43, 100])
def test_unknown_class_is_refused(class_id: int) -> None:
    with pytest.raises(ValueError, match=rf"class id {class_id}: ids run from 0 to 42"):
        svg(class_id)
    with pytest.raises(ValueError, match="from 0 to 42"):
        render(class_id, SIZE)


def test_size_below_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel"):
        render(0, 0)


def _styled(class_id: int, style: Style) -> npt.NDArray[np.float64]:
    pixels = render(class_id, SIZE, style).astype(np.float64)
    return pixels[..., :3] * (pixels[..., 3:] / 255) + 128 * (1 - pixels[..., 3:] / 255)


@pytest.mark.parametrize("class_id", [0, 8, 9, 10, 16, 19, 23, 25, 27, 28, 29, 33, 36, 38, 40, 41, 42])
def test_several_designs_of_a_sign_differ_and_come_round(class_id: int) -> None:
    pictures = {_styled(class_id, Style(design=number)).tobytes() for number in range(60)}

    assert 2 <= len(pictures) <= 5
    assert np.array_equal(_styled(class_id, Style(design=60)), _on_grey(class_id))


@pytest.mark.parametrize("design", range(5))
def test_designs_of_different_signs_are_not_mistaken(design: int) -> None:
    pictures = [_styled(class_id, Style(design=design)) for class_id in range(NUM_CLASSES)]

    for a, b in itertools.combinations(range(NUM_CLASSES), 2):
        assert np.abs(pictures[a] - pictures[b]).mean() > CLEARLY_DIFFERENT, (a, b)


@pytest.mark.parametrize("design", range(3))
@pytest.mark.parametrize(("one", "other"), [(19, 20), (33, 34), (36, 37), (38, 39)])
def test_every_design_of_a_pair_is_mirrored(one: int, other: int, design: int) -> None:
    style = Style(design=design)

    assert np.abs(_styled(one, style)[:, ::-1] - _styled(other, style)).mean() < 0.5


def test_style_moves_stretches_and_repaints() -> None:
    plain = _styled(16, Style())
    dark = plain.sum(axis=2) < 150
    small = _styled(16, Style(width=0.8, height=0.8)).sum(axis=2) < 150
    right = _styled(16, Style(shift=(5, 0))).sum(axis=2) < 150

    assert 0.55 < small.sum() / dark.sum() < 0.75
    assert np.nonzero(right)[1].mean() - np.nonzero(dark)[1].mean() == pytest.approx(0.05 * SIZE, abs=0.5)
    assert np.allclose(_styled(17, Style(paints={RED: "#0000FF"}))[SIZE // 4, SIZE // 2], (0, 0, 255))


@pytest.mark.parametrize("class_id", [1, 13, 15, 18])
def test_thicker_rims_leave_less_white(class_id: int) -> None:
    white = [(_styled(class_id, Style(rim=rim)).min(axis=2) > 250).sum() for rim in (0.7, 1.0, 1.3)]

    assert white[0] > white[1] > white[2]


def test_edge_and_pen_have_their_thickness() -> None:
    with_edge, without = (_styled(17, Style(edge=edge))[1, SIZE // 2] for edge in (2.0, 0.0))
    thin, thick = ((_styled(2, Style(pen=pen)).sum(axis=2) < 150).sum() for pen in (0.7, 1.3))

    assert with_edge.min() > 200
    assert without[1] < 60
    assert thick > 1.5 * thin


def test_colours_are_straight_not_premultiplied() -> None:
    pixels = render(35, 257)
    half_covered = pixels[(pixels[..., 3] > 60) & (pixels[..., 3] < 200)]

    # The outermost edge is white: premultiplied, its soft pixels would be grey.
    assert len(half_covered) > 0
    assert half_covered[:, :3].min() > 240


def test_figures_can_be_opened_as_a_picture_and_each_is_in_a_sign() -> None:
    root = ET.parse(Path("training/data/pictograms.svg")).getroot()
    names = [element.attrib["id"] for element in root if "id" in element.attrib]
    source = Path("training/data/pictograms.py").read_text()

    assert len(names) == len(set(names)) > 50
    # The speed limits are named by their numbers.
    used = [f'"{name}"' in source or f'"{re.sub("[0-9]+", "{speed}", name)}"' in source for name in names]
    assert all(used), names[used.index(False)]
