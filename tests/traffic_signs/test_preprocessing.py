"""Tests of what the networks see."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from traffic_signs.preprocessing import CROP_MARGIN, SCENE_FILL, ImageError, crop, decode, fit_scene, resize


def _encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _picture(width: int = 30, height: int = 20) -> npt.NDArray[np.uint8]:
    """Returns a smooth picture without symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.uint8)


def _ramp(width: int, height: int) -> Image.Image:
    """Returns an image whose red value is the column and whose green value is the row."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("form", ["PNG", "PPM", "BMP"])
def test_decode_gives_the_exact_pixels_of_lossless_forms(form: str) -> None:
    image = decode(_encode(Image.fromarray(_picture()), form))

    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert np.array_equal(np.asarray(image), _picture())


def test_decode_gives_the_exact_pixels_of_lossless_webp() -> None:
    assert np.array_equal(np.asarray(decode(_encode(Image.fromarray(_picture()), "WEBP", lossless=True))), _picture())


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_decode_gives_nearly_the_pixels_of_lossy_forms(form: str) -> None:
    image = decode(_encode(Image.fromarray(_picture()), form, quality=95))

    assert (image.mode, image.size) == ("RGB", (30, 20))
    assert np.abs(np.asarray(image).astype(int) - _picture()).mean() < 5


@pytest.mark.parametrize(("mode", "form"), [("L", "PNG"), ("L", "JPEG"), ("LA", "PNG"), ("1", "PNG"), ("L", "PPM")])
def test_decode_makes_three_equal_channels_of_grey(mode: str, form: str) -> None:
    grey = Image.fromarray(_picture()).convert("L").convert(mode)
    pixels = np.asarray(decode(_encode(grey, form)))

    assert pixels.shape == (20, 30, 3)
    assert (pixels == pixels[..., :1]).all()
    assert np.abs(pixels[..., 0].astype(int) - np.asarray(grey.convert("L"))).max() <= 8


def test_decode_drops_an_opaque_alpha_channel() -> None:
    assert np.array_equal(np.asarray(decode(_encode(Image.fromarray(_picture()).convert("RGBA"), "PNG"))), _picture())


def test_decode_reads_palettes() -> None:
    palette = Image.fromarray(_picture()).quantize(64)

    assert np.array_equal(np.asarray(decode(_encode(palette, "PNG"))), np.asarray(palette.convert("RGB")))


def test_decode_reads_palettes_with_transparency() -> None:
    palette = Image.fromarray(_picture()).quantize(64)

    image = decode(_encode(palette, "PNG", transparency=bytes([128]) + bytes([255]) * 63))

    assert (image.mode, image.size) == ("RGB", (30, 20))


def test_decode_reads_cmyk_jpegs() -> None:
    cmyk = Image.fromarray(_picture()).convert("CMYK")
    pixels = np.asarray(decode(_encode(cmyk, "JPEG", quality=95)))

    assert pixels.shape == (20, 30, 3)
    assert np.abs(pixels.astype(int) - _picture()).mean() < 8


def test_decode_scales_16_bit_colour_to_8() -> None:
    values = np.repeat(np.array([0, 0x4000, 0x8000, 0xFFFF], dtype=">u2"), 3)
    pixels = np.asarray(decode(b"P6 4 1 65535\n" + values.tobytes()))

    assert np.abs(pixels[0, :, 0].astype(int) - [0, 64, 128, 255]).max() <= 1


@pytest.mark.parametrize("form", ["PNG", "PGM"])
def test_decode_scales_16_bit_grey_to_8(form: str) -> None:
    values = np.array([[0, 0x4000, 0x8000, 0xFFFF]], dtype=np.uint16)
    pgm = b"P5 4 1 65535\n" + values.astype(">u2").tobytes()
    pixels = np.asarray(decode(pgm if form == "PGM" else _encode(Image.fromarray(values), "PNG")))

    assert np.abs(pixels[0, :, 0].astype(int) - [0, 64, 128, 255]).max() <= 1


@pytest.mark.parametrize("orientation", range(10))
def test_decode_turns_a_picture_as_its_exif_says(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encode(Image.fromarray(_picture()), "PNG", exif=exif)

    assert decode(data).tobytes() == ImageOps.exif_transpose(Image.open(io.BytesIO(data))).tobytes()


def test_decode_turns_a_picture_whose_exif_cannot_be_written_again() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    data = _encode(Image.fromarray(_picture()), "JPEG", exif=exif)
    odd = data.replace(b"\x01\x1a\x00\x05", b"\x01\x00\x00\x05")  # the width as a fraction
    with pytest.raises(struct.error):
        ImageOps.exif_transpose(Image.open(io.BytesIO(odd)))

    assert decode(odd).size == (20, 30)


def test_decode_takes_a_picture_with_broken_exif_as_it_lies() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _encode(Image.fromarray(_picture()), "JPEG", exif=exif).replace(b"MM\x00*", b"MM\x00!")

    assert decode(data).size == (30, 20)


def test_decode_takes_the_first_frame_of_an_animation() -> None:
    first, second = Image.fromarray(_picture()), Image.fromarray(255 - _picture())
    data = _encode(first, "PNG", save_all=True, append_images=[second])

    assert np.array_equal(np.asarray(decode(data)), _picture())


@pytest.mark.parametrize("data", [b"", b"\x00", b"no image, only text\n" * 20, b"%PDF-1.7\n", b"GIF89a"])
def test_bytes_that_are_no_image_are_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError, match=rf"it is not an image in .* \({len(data)} bytes\)"):
        decode(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PPM", "WEBP"])
@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5, 0.9])
def test_truncated_image_is_an_image_error(form: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    data = _encode(noise, form)

    with pytest.raises(ImageError):
        decode(data[: int(len(data) * kept)])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PPM", "WEBP", "GIF", "BMP"])
def test_damaged_bytes_decode_or_are_an_image_error(form: str) -> None:
    data = _encode(Image.fromarray(_picture()), form)
    rng = np.random.default_rng(1)

    for _ in range(200):
        damaged = bytearray(data)
        for position in rng.integers(0, min(len(data), 200), 3):
            damaged[position] = rng.integers(256)
        try:
            assert decode(bytes(damaged)).mode == "RGB"
        except ImageError as error:
            assert str(error).startswith(("it is damaged", "it is not an image", "it is too large"))


def test_an_interlaced_png_that_ends_in_the_middle_is_an_image_error() -> None:
    """Pillow raises a TypeError where such a picture is loaded once more, as looking for its EXIF does."""
    data = bytearray(_encode(Image.fromarray(_picture()), "PNG"))
    data[28] = 1  # interlaced, says the header; its checksum stands behind it
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))

    with pytest.raises(ImageError, match=r"^it is damaged \((?!.*arguments)"):
        decode(bytes(data))


def test_whatever_a_decoder_raises_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> Image.Image:
        """Stands in for a mistake in a decoder that is not known yet."""
        raise IndexError("list index out of range")

    monkeypatch.setattr(Image, "open", broken)

    with pytest.raises(ImageError, match=r"it is damaged \(IndexError: list index") as caught:
        decode(b"")
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("side", [20_000, 1_000_000])
def test_decompression_bomb_is_an_image_error(side: int) -> None:
    with pytest.raises(ImageError, match="it is too large"):
        decode(b"P6 %d %d 255\n" % (side, side) + bytes(30))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no image", "unknown_format"),
        (b"P6 20000 20000 255\n", "too_large"),
        (b"P6 20 20 255\n123", "damaged"),
    ],
)
def test_an_image_error_says_in_a_word_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)

    assert caught.value.reason == reason


def test_a_scene_of_the_right_size_keeps_its_pixels() -> None:
    fitted = fit_scene(_ramp(120, 80), 80, 120)

    assert (fitted.content, fitted.scale) == ((120, 80), (1.0, 1.0, 1.0, 1.0))
    assert np.array_equal(fitted.pixels, np.asarray(_ramp(120, 80)))


def test_a_smaller_scene_is_not_enlarged_and_the_rest_is_filled() -> None:
    fitted = fit_scene(_ramp(50, 30), 80, 120)

    assert fitted.pixels.shape == (80, 120, 3) and fitted.pixels.dtype == np.uint8
    assert np.array_equal(fitted.pixels[:30, :50], np.asarray(_ramp(50, 30)))
    assert (fitted.pixels[30:] == SCENE_FILL).all() and (fitted.pixels[:, 50:] == SCENE_FILL).all()
    assert fitted.scale == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(("size", "content"), [((240, 100), (120, 50)), ((120, 160), (60, 80)), ((300, 300), (80, 80))])
def test_a_larger_scene_is_shrunk_and_keeps_its_shape(size: tuple[int, int], content: tuple[int, int]) -> None:
    fitted = fit_scene(_ramp(*size), 80, 120)

    assert fitted.content == content
    across, down = content[0] / size[0], content[1] / size[1]
    assert fitted.scale == (across, down, across, down)
    assert (fitted.pixels[content[1] :] == SCENE_FILL).all() and (fitted.pixels[:, content[0] :] == SCENE_FILL).all()


@pytest.mark.parametrize("size", [(333, 197), (1999, 1001), (121, 80), (5000, 3), (1, 4000)])
def test_a_box_scaled_to_the_scene_frames_the_same_part_of_it(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (0, 0, 200))
    width, height = size
    box = (width // 4, height // 4, max(width // 4 + 1, width // 2), max(height // 4 + 1, height // 2))
    image.paste((200, 0, 0), box)

    fitted = fit_scene(image, 80, 120)

    red = (fitted.pixels[..., 0] > 100) & (fitted.pixels[..., 2] < 100)
    left, top, right, bottom = np.array(box) * fitted.scale
    assert red.sum() == pytest.approx((right - left) * (bottom - top), rel=0.15, abs=(right - left) + (bottom - top))
    if red.any():
        rows, columns = np.nonzero(red)
        found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert np.abs(found - [left, top, right, bottom]).max() <= 1


def test_shrinking_a_scene_does_not_alias() -> None:
    stripes = np.zeros((240, 240, 3), dtype=np.uint8)
    stripes[:, ::2] = 255

    small = fit_scene(Image.fromarray(stripes), 40, 40).pixels

    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 8


def test_crop_without_margin_and_scale_is_the_box_itself() -> None:
    image = _ramp(100, 80)

    cut = crop(image, (30, 20, 62, 52), 32, margin=0.0)

    assert cut.shape == (32, 32, 3)
    assert cut.dtype == np.uint8
    assert np.array_equal(cut, np.asarray(image)[20:52, 30:62])


def test_crop_adds_the_margin_on_every_side() -> None:
    image = _ramp(100, 80)

    # 40 pixels and 10% of 40 on each side are 48: no scaling, so the pixels must be exact.
    assert CROP_MARGIN == 0.1
    assert np.array_equal(crop(image, (30, 20, 70, 60), 48), np.asarray(image)[16:64, 26:74])


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0, 0, 40, 40), slice(0, 44), slice(0, 44)),
        ((60, 40, 100, 80), slice(36, 80), slice(56, 100)),
    ],
    ids=["top left", "bottom right"],
)
def test_crop_cuts_the_margin_off_at_the_edges(
    box: tuple[float, float, float, float], rows: slice, columns: slice
) -> None:
    image = _ramp(100, 80)

    assert np.array_equal(crop(image, box, 44), np.asarray(image)[rows, columns])


def test_crop_of_a_box_partly_outside_shows_the_part_inside() -> None:
    image = _ramp(100, 80)

    assert np.array_equal(crop(image, (84, 64, 120, 120), 16, margin=0.0), np.asarray(image)[64:80, 84:100])


def test_crop_scales_about_pixel_centres() -> None:
    # On a ramp, the value at the middle of each result pixel is its place in the image, less half a pixel.
    cut = crop(_ramp(100, 100), (20, 40, 60, 80), 20, margin=0.0)

    inner = np.arange(1, 19)
    assert np.abs(cut[9, inner, 0] - (20 + (inner + 0.5) * 2 - 0.5)).max() <= 0.5
    assert np.abs(cut[inner, 9, 1] - (40 + (inner + 0.5) * 2 - 0.5)).max() <= 0.5


def test_crop_takes_fractions_of_pixels() -> None:
    cut = crop(_ramp(100, 100), (20.5, 40.25, 52.5, 72.25), 32, margin=0.0)

    assert np.abs(cut[16, 4:28, 0] - (np.arange(4, 28) + 20.5)).max() <= 0.5
    assert np.abs(cut[4:28, 16, 1] - (np.arange(4, 28) + 40.25)).max() <= 0.5


def test_crop_squeezes_an_oblong_box_into_a_square() -> None:
    cut = crop(_ramp(100, 100), (10, 10, 90, 30), 20, margin=0.0)

    assert cut.shape == (20, 20, 3)
    assert cut[10, 19, 0] - cut[10, 0, 0] > 70
    assert cut[19, 10, 1] - cut[0, 10, 1] < 20


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((240, 240, 3), dtype=np.uint8)
    stripes[:, ::2] = 255

    small = crop(Image.fromarray(stripes), (0, 0, 240, 240), 24, margin=0.0)

    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 8


@pytest.mark.parametrize(
    "box", [(100, 0, 120, 20), (0, 80, 20, 100), (-30, 0, -10, 20), (10, 10, 10, 20), (30, 5, 20, 9)]
)
def test_box_without_a_part_in_the_image_is_an_image_error(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ImageError, match=r"the box .* lies outside the image of 100x80 pixels"):
        crop(_ramp(100, 80), box, 16, margin=0.0)


def test_box_outside_is_an_image_error_even_where_its_margin_reaches_in() -> None:
    with pytest.raises(ImageError, match="lies outside the image"):
        crop(_ramp(100, 80), (101, 10, 141, 50), 16)


def test_resize_is_the_crop_of_the_whole_without_margin() -> None:
    image = _ramp(90, 60)

    assert np.array_equal(resize(image, 48), crop(image, (0, 0, 90, 60), 48, margin=0.0))
    assert np.array_equal(resize(image.crop((0, 0, 48, 48)), 48), np.asarray(image)[:48, :48])
