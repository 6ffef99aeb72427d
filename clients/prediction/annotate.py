"""Draws what the recognizer found into copies of photographs and videos."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from traffic_sign_client.answers import Sign
from traffic_signs.atomic_write import atomic_write
from traffic_signs.pictures import Picture
from traffic_signs.preprocessing import decode
from traffic_signs.video import VideoCopy

Box = tuple[float, float, float, float]
COLOR, INK = (255, 214, 0), (0, 0, 0)  # black on yellow is legible on road, sky and leaves
QUALITY = 92  # of the JPEG, so that the frames stay sharp


def annotate(photograph: Image.Image, signs: Sequence[Sign]) -> Image.Image:
    """Returns a copy with a frame around each sign and its name and class score beside it.

    Lines and letters scale with the picture: in one of 1360 pixels, letters are 20 pixels high. If there is room near
    the sign, its label covers no sign and no other label; a line connects the two. Tall or small pictures have smaller
    letters, so that the usual name fits into the width.
    """
    picture = photograph.copy()
    draw = ImageDraw.Draw(picture)
    long_side = min(max(picture.size), 3.4 * picture.width)  # bounded by the width, for tall pictures
    line = max(2, round(long_side / 680))
    smallest = min(12, max(7, picture.width // 12))  # size of legible letters
    font = ImageFont.load_default(max(smallest, round(long_side / 68)))
    frames = [_grown(sign.box, line) for sign in signs]
    labels: list[tuple[Box, str, Box]] = []
    for sign, frame in zip(signs, frames, strict=True):
        text = f"{sign.name} {sign.class_score:.0%}"
        ink = draw.textbbox((0, 0), text, font=font)
        size = (ink[2] - ink[0] + 4 * line, ink[3] - ink[1] + 4 * line)
        taken = frames + [place for place, _, _ in labels]
        places = list(_places(frame, size, picture.size, line))
        place = next((each for each in places if not any(_overlap(each, other) for other in taken)), places[0])
        labels.append((place, text, ink))
    for frame, (place, _, _) in zip(frames, labels, strict=True):
        draw.line((_nearest(frame, place), _nearest(place, frame)), fill=COLOR, width=line)
    for left, top, right, bottom in frames:
        draw.rectangle((left, top, right - 1, bottom - 1), outline=COLOR, width=line)
    for place, text, ink in labels:  # last, so that nothing is drawn over a name
        draw.rectangle(place, fill=COLOR)
        draw.text((place[0] + 2 * line - ink[0], place[1] + 2 * line - ink[1]), text, fill=INK, font=font)
    return picture


class Copies:
    """Annotated copies in a folder, created if it is missing: a JPEG of each photograph, an MP4 of each video's frames.

    Raises:
        OSError: the folder cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._started = datetime.now()
        self._video: VideoCopy | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._finish()

    def add(self, picture: Picture, signs: Sequence[Sign]) -> Path:
        """Writes the copy of a photograph, or appends a frame to that of its video, and returns the copy's path.

        A photograph's copy is written whole or not at all, and replaces an earlier one. A video's copy appears after
        its last frame, or the last one before a stop.

        Raises:
            ClientError, OSError: the folder cannot be written.
        """
        original = Path(picture.name)
        if isinstance(picture.content, bytes):
            target = _target(original, self._folder, ".jpg")
            with atomic_write(target) as staging:
                annotate(decode(picture.content), signs).save(staging, "JPEG", quality=QUALITY, subsampling=0)
            return target
        if original.exists():
            target = _target(original, self._folder, ".mp4")
        else:  # a camera, whose pictures are always new
            target = self._folder / f"{picture.name.replace(' ', '-')}-{self._started:%Y%m%d-%H%M%S}.mp4"
        if self._video is None or self._video.target != target:
            self._finish()
            self._video = VideoCopy(target)
        self._video.add(np.asarray(annotate(Image.fromarray(picture.content), signs)), picture.rate)
        return target

    def _finish(self) -> None:
        if self._video is not None:
            self._video.close()


def _target(original: Path, folder: Path, suffix: str) -> Path:
    """Returns a path with the original's name and a hash of its full path.

    So originals of one name in different folders get different copies, and no original is overwritten.
    """
    mark = hashlib.sha256(os.fsencode(original.resolve())).hexdigest()[:10]
    return folder / f"{original.stem}-signs-{mark}{suffix}"


def _grown(box: Box, margin: float) -> Box:
    return (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)


def _places(frame: Box, size: tuple[float, float], picture: tuple[int, int], gap: float) -> Iterator[Box]:
    """Yields places for a label of `size`, the best first: above, below, then beside, further and further away."""
    left, top, right, bottom = frame
    width, height = size
    middle = (top + bottom - height) / 2
    corners = [(left, top - height - gap), (left, bottom + gap)]
    for step in range(12):
        # Half a label up, half a label down, a whole one up ...
        shifted = middle + (step + 1) // 2 * (-1) ** step * (height + gap) / 2
        corners += [(right + 3 * height / 4, shifted), (left - width - 3 * height / 4, shifted)]
    for x, y in corners:
        # Moved into the picture, so that a sign at its edge has a whole label.
        x, y = max(0.0, min(x, picture[0] - width)), max(0.0, min(y, picture[1] - height))
        yield (x, y, x + width, y + height)


def _nearest(box: Box, other: Box) -> tuple[float, float]:
    """Returns the point of `box` that is nearest to the middle of `other`."""
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return (max(box[0], min(x, box[2])), max(box[1], min(y, box[3])))


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
