"""What the recognizer makes of a photograph before a network sees it."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from serving.recognizer import scene as module
from serving.recognizer.scene import claimed_pixels, in_groups, measure_sharpness, read_scene


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def blocks(width: int, height: int, side: int = 8) -> Image.Image:
    """Grey blocks at random, which have edges everywhere."""
    values = np.random.default_rng(3).integers(0, 256, (-(-height // side), -(-width // side)), dtype=np.uint8)
    return Image.fromarray(values.repeat(side, axis=0).repeat(side, axis=1)[:height, :width])


def test_a_scene_is_the_photograph_and_what_the_detector_takes() -> None:
    picture = Image.new("RGB", (300, 100), (10, 20, 30))

    scene = read_scene(encode(picture), 80, 150)

    assert scene.photograph.size == (300, 100)
    assert scene.fitted.pixels.shape == (80, 150, 3) and scene.fitted.content == (150, 50)


def test_brightness_is_the_mean_luma_without_the_filling() -> None:
    assert read_scene(encode(Image.new("RGB", (30, 10), (255, 255, 255))), 80, 150).brightness == 255
    assert read_scene(encode(Image.new("RGB", (30, 10))), 80, 150).brightness == 0
    red = read_scene(encode(Image.new("RGB", (30, 10), (200, 0, 0))), 80, 150)
    assert red.brightness == pytest.approx(0.299 * 200, abs=0.5)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 256, (200, module.SHARPNESS_SIDE), dtype=np.uint8)

    expected = [
        4 * int(values[y, x])
        - int(values[y - 1, x])
        - int(values[y + 1, x])
        - int(values[y, x - 1])
        - int(values[y, x + 1])
        for y in range(1, values.shape[0] - 1)
        for x in range(1, values.shape[1] - 1)
    ]

    assert measure_sharpness(Image.fromarray(values)) == pytest.approx(np.var(expected))


def test_a_flat_picture_has_no_sharpness_and_a_blurred_one_little() -> None:
    picture = blocks(960, 600, 20)

    sharp, blurred, more = (
        measure_sharpness(each)
        for each in (picture, picture.filter(ImageFilter.BoxBlur(3)), picture.filter(ImageFilter.BoxBlur(9)))
    )

    assert measure_sharpness(Image.new("L", (960, 600), 90)) == 0
    assert sharp > 2 * blurred > 4 * more > 0


def test_sharpness_hardly_depends_on_the_resolution() -> None:
    picture = blocks(960, 600, 40)
    large = picture.resize((3840, 2400), Image.Resampling.NEAREST)

    assert measure_sharpness(large) == pytest.approx(measure_sharpness(picture), rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (5000, 2), (2, 900)])
def test_a_strip_or_a_dot_is_a_scene_too(size: tuple[int, int]) -> None:
    scene = read_scene(encode(Image.new("RGB", size, (9, 9, 9))), 80, 150)

    assert (scene.brightness, scene.sharpness) == (9, 0)


def test_the_claimed_size_is_read_without_decoding() -> None:
    assert claimed_pixels(b"P6 70000 70000 255\n") == 4_900_000_000
    assert claimed_pixels(encode(Image.new("RGB", (30, 20)))) == 600
    assert claimed_pixels(b"") == claimed_pixels(b"no image at all") == 0


def test_groups_keep_the_order_and_the_limit() -> None:
    sizes = [3, 3, 3, 20, 1, 9, 10, 0, 1]

    groups = list(in_groups(sizes, lambda size: size, most=10))

    assert groups == [[3, 3, 3], [20], [1, 9], [10, 0], [1]]
    assert list(in_groups([], lambda size: size)) == []
