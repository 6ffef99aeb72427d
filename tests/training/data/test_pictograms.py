"""Tests of the vector drawings of the 43 signs."""

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import numpy.typing as npt
import pytest

from training.data.pictograms import CLASS_COUNT, render, svg

SIZE = 64
# Measured: the closest pair, the limits 30 and 80, differs by 3.3 on average; the same sign would by 0.
CLEARLY_DIFFERENT = 2.0
PLAIN_ELEMENTS = {"svg", "g", "path", "polygon", "circle", "rect"}


def _on_grey(class_id: int, size: int = SIZE) -> npt.NDArray[np.float64]:
    pixels = render(class_id, size).astype(np.float64)
    alpha = pixels[..., 3:] / 255
    return pixels[..., :3] * alpha + 128 * (1 - alpha)


@pytest.mark.parametrize("class_id", range(CLASS_COUNT))
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
    pictures = [_on_grey(class_id) for class_id in range(CLASS_COUNT)]

    distances = {
        (a, b): float(np.abs(pictures[a] - pictures[b]).mean())
        for a, b in itertools.combinations(range(CLASS_COUNT), 2)
    }

    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] > CLEARLY_DIFFERENT, f"classes {closest} look alike: {distances[closest]:.2f}"


@pytest.mark.parametrize(("one", "other"), [(19, 20), (33, 34), (36, 37), (38, 39)])
def test_pairs_mirror_each_other(one: int, other: int) -> None:
    difference = np.abs(_on_grey(one)[:, ::-1] - _on_grey(other))

    assert difference.mean() < 0.5
    assert np.abs(_on_grey(one) - _on_grey(other)).mean() > CLEARLY_DIFFERENT


@pytest.mark.parametrize("class_id", range(CLASS_COUNT))
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


def test_cached_picture_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        render(14, SIZE)[:] = 0


def test_colours_are_straight_not_premultiplied() -> None:
    pixels = render(35, 257)
    half_covered = pixels[(pixels[..., 3] > 60) & (pixels[..., 3] < 200)]

    # The outermost edge is white: premultiplied, its soft pixels would be grey.
    assert len(half_covered) > 0
    assert half_covered[:, :3].min() > 240
