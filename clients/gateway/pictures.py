"""The gateway's own reading of pictures: their size, and the pixels of a picture of one sign."""

import asyncio
import io
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from clients.gateway.problems import TOO_LARGE, UNREADABLE, ProblemError
from traffic_signs.preprocessing import FORMATS, MAX_PIXELS, ImageError, decode, resize

CROP_PIXELS = 1 << 24  # most pixels of a picture of one sign
DECODED_PIXELS = 50_000_000  # most pixels of a photograph that the gateway decodes in its memory
ORIENTATION = 0x0112  # EXIF tag; with 5 to 8 the picture lies on its side
SAME_FILE = {"MPO": "JPEG"}  # Pillow's name of a phone's JPEG with a second picture after the first
EXIF_IN_PNG = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
P = ParamSpec("P")
T = TypeVar("T")

# Only a few at once, because decoded pixels need much memory.
_threads = ThreadPoolExecutor(2, thread_name_prefix="pictures")


def _in_thread(read: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Makes a function that reads a picture wait for a thread, and raise ProblemError if it cannot be read."""

    @wraps(read)
    async def run(*arguments: P.args, **options: P.kwargs) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(_threads, partial(read, *arguments, **options))
        except ImageError as error:
            kind = TOO_LARGE if error.reason == "too_large" else UNREADABLE
            raise ProblemError(kind, f"the image cannot be read: {error}") from None

    return run


@_in_thread
def size_of(data: bytes) -> tuple[int, int]:
    """Returns the width and height of a photograph, upright by its EXIF orientation, as the recognizer sees it."""
    with _opened(data, MAX_PIXELS) as image:
        width, height = image.size
        # A PNG may have its EXIF after the pixels, and Pillow decodes them to find it: only if there can be one.
        if image.format == "PNG" and (width * height > DECODED_PIXELS or not any(mark in data for mark in EXIF_IN_PNG)):
            return width, height
        return _upright(image)


@_in_thread
def crop_of(data: bytes, size: int) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Returns a picture of one sign for the classifier, uint8 [size, size, 3], and its own width and height.

    It may have CROP_PIXELS at most.
    """
    with _opened(data, CROP_PIXELS):
        image = decode(data)
    return resize(image, size), image.size


@_in_thread
def check(data: bytes) -> tuple[str, tuple[int, int]]:
    """Decodes a photograph of DECODED_PIXELS at most; returns its format, one of FORMATS, and its width and height."""
    with _opened(data, DECODED_PIXELS) as image:
        image.load()
        return SAME_FILE.get(str(image.format), str(image.format)), _upright(image)


@contextmanager
def _opened(data: bytes, most_pixels: int) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                size = f"{image.width}x{image.height}"
                raise ImageError(f"it has {size} pixels, more than {most_pixels}: scale it down", "too_large")
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # its message has a memory address
        raise ImageError(f"it is not an image in {', '.join(FORMATS)} ({len(data)} bytes)", "unknown_format") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"it is damaged ({error})", "damaged") from error


def _upright(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if turned else (image.width, image.height)
