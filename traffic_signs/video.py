"""Reads frames from video files and cameras and writes videos, with OpenCV, which is imported only here."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from traffic_signs.errors import PictureError

if TYPE_CHECKING:
    from types import ModuleType

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
USUAL_RATE = 25.0  # frames per second, if a camera does not report its rate
WHOLE = 0.9  # share of the frames in the header that must be readable; some headers count a few too many

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """One frame: its number, from 0; its pixels, uint8 [height, width, 3], RGB; and the frames per second."""

    number: int
    pixels: Pixels
    rate: float


def frame_count(path: Path) -> int:
    """Returns the approximate number of frames of a video; 0 if it is unreadable or its header has no count."""
    cv2 = _opencv()
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        capture.release()


def read_frames(source: Path | int, most: int | None = None) -> Iterator[Frame]:
    """Yields the frames of a video file, or of a camera until it is stopped.

    Args:
        source: the file, or the number of the camera.
        most: largest number of frames; None reads all.

    Raises:
        PictureError: the source cannot be opened, it ends too early, or OpenCV is not installed.
    """
    cv2 = _opencv()
    capture = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG) if isinstance(source, Path) else cv2.VideoCapture(source)
    try:
        if not capture.isOpened():
            what = "it is not a video that OpenCV can read" if isinstance(source, Path) else "there is no such camera"
            raise PictureError(what)
        rate = capture.get(cv2.CAP_PROP_FPS) or USUAL_RATE
        promised = min(capture.get(cv2.CAP_PROP_FRAME_COUNT), most or np.inf)
        number = 0
        while most is None or number < most:
            more, pixels = capture.read()
            if not more:
                break
            yield Frame(number, np.ascontiguousarray(pixels[..., ::-1]), rate)
            number += 1
        if not number or number < WHOLE * promised:
            raise PictureError(f"it breaks off after {number} of {promised:.0f} frames")
    finally:
        capture.release()


class VideoCopy:
    """Writes frames to an MP4 file, which appears when it is closed; without any frame no file is written."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._staging = target.with_name(f".{target.stem}.partial-{os.getpid()}.mp4")
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, pixels: Pixels, rate: float) -> None:
        """Appends a frame.

        Args:
            pixels: uint8 [height, width, 3], RGB; all frames have one size.
            rate: frames per second; the value of the first call counts.

        Raises:
            PictureError: the file cannot be written.
        """
        cv2 = _opencv()
        if self._writer is None:
            height, width, _ = pixels.shape
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._staging), code, rate, (width, height))
        if not self._writer.isOpened():
            raise PictureError(f"{self.target} cannot be written: check the folder, its rights and the free space")
        self._writer.write(np.ascontiguousarray(pixels[..., ::-1]))

    def close(self) -> None:
        """Finishes the file with the frames so far and moves it to its place."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if self._staging.exists():
            self._staging.replace(self.target)


def _opencv() -> "ModuleType":
    # Otherwise OpenCV prints its own lines for each unreadable file.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise PictureError(f"videos and cameras need OpenCV: pip install '.[video]' ({error})") from error
    return cv2
