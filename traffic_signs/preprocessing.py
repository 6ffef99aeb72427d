"""The one definition of what the networks see: how bytes become an image, a photograph a scene and a sign a crop.

Training, export, clients and the served recognizer all call these functions. The recognizer carries a copy of this
file: it imports NumPy and Pillow alone and stays within Python 3.10. Scaling to floats and normalisation are not
here: they are part of the network (`training.models.classifier`) and so travel inside the exported graph.
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

# What cameras, browsers and the benchmarks produce; each further decoder is one more way in for damaged bytes.
FORMATS = ("JPEG", "PNG", "PPM", "WEBP", "BMP")

SCENE_FILL = 127  # mid-grey, so that the edge of a photograph is a weak one

CROP_MARGIN = 0.1  # GTSRB's images carry a border of about 10% of the sign; crops from scenes get the same

MAX_PIXELS = 100_000_000  # photographs are smaller; a few kilobytes can claim far more (decompression bombs)
Image.MAX_IMAGE_PIXELS = None  # Pillow's own check prints a warning of two lines; ours comes at the same moment

# What makes an image upright again, by the orientation in its EXIF (Exif 2.32, tag 0x0112).
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
    """An image, or a part of one, that this project cannot read.

    Args:
        message: what is wrong, as the end of a sentence that names the image.
        reason: the same in one word, for those who count: unknown_format, damaged, too_large or outside.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class FittedScene:
    """A photograph in the form that the detector takes.

    Attributes:
        pixels: uint8 [height, width, 3], RGB: the photograph at the top left, SCENE_FILL around it.
        content: width and height in pixels of the photograph in there.
        scale: what a box (left, top, right, bottom) in the photograph is multiplied with to be one in the scene.
    """

    pixels: npt.NDArray[np.uint8]
    content: tuple[int, int]
    scale: tuple[float, float, float, float]


def decode(data: bytes) -> Image.Image:
    """Decodes a JPEG, PNG, PPM, WebP or BMP into RGB, turned as its EXIF says and people see it.

    Raises:
        ImageError: the bytes are empty, truncated, not an image or too large.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"it is too large ({image.width}x{image.height} pixels)", "too_large")
            image.load()  # first: looking for the EXIF of a PNG loads it too, and would hide why that failed
            upright = _upright(image)
            if upright.mode.startswith("I"):  # 16-bit grey, which Pillow would clip instead of scaling
                return Image.fromarray((np.asarray(upright) // 256).astype(np.uint8)).convert("RGB")
            if upright.mode == "P":  # a palette may hold transparency, which has no way straight to RGB
                upright = upright.convert("RGBA")
            return upright.convert("RGB")
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        message = f"it is not an image in JPEG, PNG, PPM, WebP or BMP ({len(data)} bytes)"
        raise ImageError(message, "unknown_format") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"it is damaged ({error})", "damaged") from error
    except Exception as error:  # a decoder meets bytes that its authors did not think of
        raise ImageError(f"it is damaged ({type(error).__name__}: {error})", "damaged") from error


def _upright(image: Image.Image) -> Image.Image:
    """Returns an image as people see it; EXIF that cannot be read says nothing.

    Pillow's own `exif_transpose` also writes the EXIF anew, and fails where one of its values is odd.
    """
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        turn = None
    return image if turn is None else image.transpose(turn)


def fit_scene(image: Image.Image, height: int, width: int) -> FittedScene:
    """Shrinks a photograph to fit into the detector's input and fills the rest; a smaller one keeps its size.

    Signs keep their shape, and a sign of a small photograph is not blown up: the detector learned from signs as
    the camera saw them.

    Args:
        image: RGB.
        height: of the detector's input in pixels.
        width: likewise.
    """
    factor = min(1.0, width / image.width, height / image.height)
    content = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    # Pillow's bilinear filter widens with the scale, so that shrinking does not alias.
    small = image if content == image.size else image.resize(content, Image.Resampling.BILINEAR)
    pixels = np.full((height, width, 3), SCENE_FILL, dtype=np.uint8)
    pixels[: content[1], : content[0]] = np.asarray(small)
    # Not `factor`: whole pixels round each side a little otherwise.
    across, down = content[0] / image.width, content[1] / image.height
    return FittedScene(pixels, content, (across, down, across, down))


def crop(
    image: Image.Image, box: tuple[float, float, float, float], size: int, margin: float = CROP_MARGIN
) -> npt.NDArray[np.uint8]:
    """Cuts one sign out of an image and scales it to the network's input.

    Args:
        image: RGB.
        box: left, top, right, bottom in pixels, exclusive on the right and bottom.
        size: side of the result in pixels.
        margin: how much of the box's size to add on each side; cut off at the edge of the image.

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
