"""Preprocessing: decodes images, fits photographs to the detector's input and crops signs for the classifier.

This is the only definition: training, export, clients and the served recognizer call these functions. A copy of this
file is published with the recognizer, so it imports only NumPy and Pillow and runs on Python 3.10. Conversion to
floats and normalisation are part of the networks (`training.models`) and therefore of the exported graphs.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

# The formats of cameras, browsers and the benchmarks. Each further decoder is another attack surface.
FORMATS = ("JPEG", "PNG", "PPM", "WEBP", "BMP")

SCENE_FILL = 127  # mid-grey gives a weak edge at the border of the photograph

CROP_MARGIN = 0.1  # GTSRB's images have a border of about 10% of the sign; crops from scenes get the same

MAX_PIXELS = 100_000_000  # photographs are smaller; a few kilobytes can claim far more (decompression bombs)
Image.MAX_IMAGE_PIXELS = None  # replaced by our own check, which does not print a warning

# The operation that turns an image upright, by its EXIF orientation (Exif 2.32, tag 0x0112).
TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """An image that cannot be decoded or cropped.

    Args:
        message: the problem, as the end of a sentence that names the image.
        reason: a short code for metrics: unknown_format, damaged, too_large or outside.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class FittedScene:
    """A photograph as input of the detector."""

    # uint8 [height, width, 3], RGB: the photograph at the top left, padded with SCENE_FILL.
    pixels: npt.NDArray[np.uint8]
    content: tuple[int, int]  # width and height of the photograph within `pixels`
    # Factors that map a box (left, top, right, bottom) from the photograph to the scene.
    scale: tuple[float, float, float, float]


def decode(data: bytes) -> Image.Image:
    """Decodes a JPEG, PNG, PPM, WebP or BMP to RGB and applies its EXIF orientation.

    Raises:
        ImageError: the bytes are empty, truncated, not an image or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"it is too large ({image.width}x{image.height} pixels)", "too_large")
            image.load()  # before reading the EXIF, which also loads a PNG and hides the reason of a failure
            upright = _upright(image)
            if upright.mode.startswith("I"):  # 16-bit grey: Pillow clips it instead of scaling
                return Image.fromarray((np.asarray(upright) // 256).astype(np.uint8)).convert("RGB")
            if upright.mode == "P":  # a palette with transparency cannot be converted to RGB directly
                upright = upright.convert("RGBA")
            return upright.convert("RGB")
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        message = f"it is not an image in JPEG, PNG, PPM, WebP or BMP ({len(data)} bytes)"
        raise ImageError(message, "unknown_format") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"it is damaged ({error})", "damaged") from error
    except Exception as error:  # decoders raise any error for damaged bytes
        raise ImageError(f"it is damaged ({type(error).__name__}: {error})", "damaged") from error


def _upright(image: Image.Image) -> Image.Image:
    """Applies the EXIF orientation; unreadable EXIF is ignored.

    Pillow's own `exif_transpose` also rewrites the EXIF data and fails at invalid values.
    """
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        turn = None
    return image if turn is None else image.transpose(turn)


def fit_scene(image: Image.Image, height: int, width: int) -> FittedScene:
    """Shrinks a photograph to fit the detector's input and pads the rest; a smaller photograph keeps its size.

    The aspect ratio is kept. Small photographs are not enlarged, because the detector learned from signs at the
    camera's resolution.

    Args:
        image: RGB.
        height: height of the detector's input in pixels.
        width: width of the detector's input in pixels.
    """
    factor = min(1.0, width / image.width, height / image.height)
    content = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    # Pillow's bilinear filter widens with the scale, so that shrinking does not alias.
    small = image if content == image.size else image.resize(content, Image.Resampling.BILINEAR)
    pixels = np.full((height, width, 3), SCENE_FILL, dtype=np.uint8)
    pixels[: content[1], : content[0]] = np.asarray(small)
    # Not `factor`: rounding to whole pixels gives each side a slightly different scale.
    across, down = content[0] / image.width, content[1] / image.height
    return FittedScene(pixels, content, (across, down, across, down))


def crop(
    image: Image.Image, box: tuple[float, float, float, float], size: int, margin: float = CROP_MARGIN
) -> npt.NDArray[np.uint8]:
    """Crops one sign from an image and scales it to the network's input.

    Args:
        image: RGB.
        box: left, top, right, bottom in pixels, exclusive on the right and bottom.
        size: side of the result in pixels.
        margin: share of the box's size to add on each side; clipped at the edge of the image.

    Returns:
        uint8 [size, size, 3], RGB.

    Raises:
        ImageError: no part of the box lies inside the image.
    """
    left, top, right, bottom = box
    if min(right, image.width) <= max(left, 0) or min(bottom, image.height) <= max(top, 0):
        message = f"the box {box} lies outside the image of {image.width}x{image.height} pixels"
        raise ImageError(message, "outside")
    extra_x, extra_y = margin * (right - left), margin * (bottom - top)
    wide = (
        max(0.0, left - extra_x),
        max(0.0, top - extra_y),
        min(float(image.width), right + extra_x),
        min(float(image.height), bottom + extra_y),
    )
    # Pillow's bilinear filter widens with the scale, so that shrinking does not alias.
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=wide), dtype=np.uint8)


def resize(image: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    """Scales a whole picture of one sign to the network's input: uint8 [size, size, 3], RGB."""
    return crop(image, (0, 0, image.width, image.height), size, margin=0.0)
