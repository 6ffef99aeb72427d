"""Inputs of `signs predict`: reads files, folders, patterns, videos and cameras as a stream of pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from traffic_signs import video
from traffic_signs.errors import PictureError
from traffic_signs.paths import walk

# Endings of the pictures that are read from folders.
SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm", ".pjpeg", ".png", ".pnm", ".ppm", ".webp")
UNREAD = (".avif", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".tif", ".tiff")  # reported, not read


@dataclass(frozen=True)
class Found:
    """A file to read, or the reason why it cannot be read."""

    path: Path
    problem: str = ""

    @property
    def is_video(self) -> bool:
        """Whether the file name has the ending of a video."""
        return self.path.suffix.lower() in video.SUFFIXES


@dataclass(frozen=True)
class Picture:
    """A photograph or a video frame, or the reason why it could not be read."""

    name: str  # of the file or camera
    content: bytes | npt.NDArray[np.uint8] = b""  # of an image file, or pixels, uint8 [height, width, 3], RGB
    frame: int | None = None  # its number in the video, from 0
    rate: float = 0.0  # frames per second of the video
    problem: str = ""  # why there is no content


def find(names: Sequence[str | Path]) -> list[Found]:
    """Resolves names of files, folders and patterns such as `day*/*.jpg` to files, in the order of the names.

    A folder gives its pictures and those of its subfolders, through symbolic links; no videos and no hidden files.
    A picture in an unsupported format is returned with a problem.
    """
    found: list[Found] = []
    for name in map(str, names):
        path = Path(name)
        if name.startswith(("http:/", "https:/")) and not path.exists():
            found.append(Found(path, "it is a web address: download the picture and give the file"))
        elif path.is_dir():
            found += _in_folder(path)
        elif not path.exists() and (matches := _matching(path)):
            for match in matches:
                if not match.is_dir():
                    found.append(Found(match))
                elif "**" not in name:  # that pattern has already found the files in the folder
                    found += _in_folder(match)
        elif not path.exists() and _is_pattern(path):
            found.append(Found(path, "no file matches the pattern"))
        else:
            found.append(Found(path))
    return found


def count(found: Sequence[Found], most: int | None) -> int:
    """Estimates the number of pictures, with at most `most` frames of each video."""
    frames = (video.frame_count(each.path) if each.is_video else 1 for each in found)
    return sum(each if most is None else min(each, most) for each in frames)


def read(found: Sequence[Found], most: int | None) -> Iterator[Picture]:
    """Yields the pictures lazily; an unreadable one has a problem instead of content."""
    for each in found:
        name = str(each.path)
        try:
            if each.problem:
                yield Picture(name, problem=each.problem)
            elif each.is_video and each.path.is_file():
                for frame in video.read_frames(each.path, most):
                    yield Picture(name, frame.pixels, frame.number, frame.rate)
            else:
                yield Picture(name, each.path.read_bytes())
        except (OSError, PictureError) as error:
            reason = f"it cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
            yield Picture(name, problem=reason)


def read_camera(number: int, most: int | None) -> Iterator[Picture]:
    """Yields frames of a camera, `most` or all; raises PictureError if there is no such camera."""
    for frame in video.read_frames(number, most):
        yield Picture(f"camera {number}", frame.pixels, frame.number, frame.rate)


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def _matching(pattern: Path) -> list[Path]:
    if not _is_pattern(pattern):
        return []
    try:
        return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError:  # a pattern that glob rejects, such as a**
        return []


def _in_folder(folder: Path) -> list[Found]:
    found = []
    for place, folders, files in walk(folder):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in files:
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                found.append(Found(place / name))
            elif name.lower().endswith(UNREAD):
                found.append(Found(place / name, "its format is not read: convert it to JPEG, PNG or WebP"))
    return found or [Found(folder, f"the folder holds no picture ({', '.join(SUFFIXES)})")]
