"""What the gateway itself looks at in a picture: its size, and, of a picture of one sign, its pixels."""

import asyncio
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from clients.gateway.problems import TOO_LARGE, UNREADABLE, ProblemError
from traffic_signs.preprocessing import FORMATS, MAX_PIXELS, ImageError, decode, resize

CROP_PIXELS = 1 << 24  # of a picture of one sign
DECODED_PIXELS = 50_000_000  # of a photograph that is decoded here, which the gateway's memory must hold
ORIENTATION = 0x0112  # of EXIF; from 5 on the picture lies on its side
SAME_FILE = {"MPO": "JPEG"}  # a phone's JPEG with a second picture behind the first, by Pillow's name
EXIF_IN_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
T = TypeVar("T")

# Few at once: decoded pixels are what would fill a gateway's memory.
_threads = ThreadPoolExecutor(2, thread_name_prefix="pictures")


async def size_of(data: bytes) -> tuple[int, int]:
    """Returns the width and height of a photograph as the recognizer sees it: turned as its EXIF says.

    Raises:
        ProblemError: it is no picture.
    """
    return await _apart(partial(_size_of, data))


async def crop_of(data: bytes, size: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Returns a picture of one sign as the classifier takes it, uint8 [size, size, 3], and its own width and height.

    Raises:
        ProblemError: it cannot be read, or has more pixels than CROP_PIXELS.
    """
    return await _apart(partial(_crop_of, data, size))


async def check(data: bytes) -> tuple[str, tuple[int, int]]:
    """Decodes the whole of a photograph; returns its format, one of preprocessing.FORMATS, and its width and height.

    Raises:
        ProblemError: it cannot be read, or has more pixels than DECODED_PIXELS.
    """
    return await _apart(partial(_check, data))


async def _apart(work: Callable[[], T]) -> T:
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, work)
    except ImageError as error:
        kind = TOO_LARGE if error.reason == "too_large" else UNREADABLE
        raise ProblemError(kind, f"the image cannot be read: {error}") from None


def _size_of(data: bytes) -> tuple[int, int]:
    with _opened(data, MAX_PIXELS) as image:
        width, height = image.size
        # A PNG may keep its EXIF behind the pixels, and Pillow decodes all of them to look: not where none can be.
        if image.format == "PNG" and (width * height > DECODED_PIXELS or not any(mark in data for mark in EXIF_IN_PNG)):
            return width, height
        return _upright(image)


def _crop_of(data: bytes, size: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    with _opened(data, CROP_PIXELS):
        image = decode(data)
    return resize(image, size), image.size


def _check(data: bytes) -> tuple[str, tuple[int, int]]:
    with _opened(data, DECODED_PIXELS) as image:
        image.load()
        return SAME_FILE.get(str(image.format), str(image.format)), _upright(image)


@contextmanager
def _opened(data: bytes, most_pixels: int) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                size = f"{image.width}x{image.height}"
                raise ImageError(f"it has {size} pixels, and {most_pixels} are taken: scale it down", "too_large")
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # whose own words hold an address in memory
        raise ImageError(f"it is none in {', '.join(FORMATS)} ({len(data)} bytes)", "unknown_format") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"it is damaged ({error})", "damaged") from error


def _upright(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else (image.width, image.height)
