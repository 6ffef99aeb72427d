"""The pictures that are sent: read from a folder or a zip, or drawn; as the models and perf_analyzer take them."""

import base64
import hashlib
import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from clients.benchmark.target import Model
from export.arrays import spread
from traffic_sign_client.errors import ClientError
from traffic_signs.classes import NUM_CLASSES
from traffic_signs.pictures import SUFFIXES
from traffic_signs.preprocessing import ImageError, crop, decode, fit_scene, resize
from training.data.gtsdb import load_gtsdb
from training.data.source import open_source

PICTURES = 16  # sent in turn
SIGNS = 5  # in each drawn scene
QUALITY = 90  # of a drawn scene's JPEG
SEED = 0
LABELS = "gt.txt"  # of GTSDB: with it signs can be cropped

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pictures:
    """Pictures to send."""

    source: str  # where they are from, as reports name it
    photographs: tuple[bytes, ...]  # contents of image files
    scenes: tuple[Image.Image, ...]  # the same, decoded to RGB
    boxes: tuple[tuple[Box, ...], ...]  # of the signs in each scene; a scene without boxes counts as one sign

    def crops(self, size: int) -> npt.NDArray[np.uint8]:
        """Returns the signs, cropped for a classifier: uint8 [n, size, size, 3]."""
        cut = []
        for scene, boxes in zip(self.scenes, self.boxes, strict=True):
            cut += [crop(scene, box, size) for box in boxes] or [resize(scene, size)]
        return np.stack(cut)

    def facts(self) -> dict[str, Any]:
        """Returns the facts for a report."""
        digest = hashlib.sha256()
        for each in self.photographs:
            digest.update(hashlib.sha256(each).digest())
        return {
            "source": self.source,
            "pictures": len(self.photographs),
            "signs": sum(len(each) or 1 for each in self.boxes),
            "bytes": sum(len(each) for each in self.photographs),
            "sizes": sorted({f"{each.width}x{each.height}" for each in self.scenes}),
            "fingerprint": digest.hexdigest(),
        }


def draw_pictures(signs: int = SIGNS) -> Pictures:
    """Draws street scenes with so many signs each, always the same; raises ClientError without a drawing package."""
    try:
        from training.data.synthetic import draw_scene
    except ModuleNotFoundError as error:
        raise ClientError(
            f"{error.name} is not installed, which draws the signs: give pictures with --images, or "
            "pip install '.[benchmark]'"
        ) from error
    rng = np.random.default_rng(SEED)
    photographs, scenes, boxes = [], [], []
    for number in range(PICTURES):
        # Steps of 7, because classes next to each other look alike.
        class_ids = [(number * signs + place) * 7 % NUM_CLASSES for place in range(signs)]
        pixels, found = draw_scene(class_ids, rng)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY)
        photographs.append(buffer.getvalue())
        scenes.append(decode(buffer.getvalue()))
        boxes.append(tuple(tuple(map(float, box)) for box in found))
    return Pictures("drawn street scenes", tuple(photographs), tuple(scenes), tuple(boxes))  # type: ignore[arg-type]


def read_pictures(path: Path, most: int = PICTURES) -> Pictures:
    """Reads at most `most` pictures of a folder or a zip, evenly spread over it, or one file.

    The signs of GTSDB's scenes have boxes. Any other picture serves as a scene and as one sign.

    Raises:
        ClientError: there is no picture, or one cannot be read.
        training.errors.DataError: there is nothing at `path`, or labels are wrong.
    """
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return _decoded(path, [(path.name, path.read_bytes(), ())])
    source = open_source(path)
    names = source.names()
    if any(PurePosixPath(name).name == LABELS for name in names):
        dataset = load_gtsdb(path)
        samples = [sample for sample in dataset.samples if sample.boxes]
        found = [
            (sample.image, dataset.read(sample), tuple((b.left, b.top, b.right, b.bottom) for b in sample.boxes))
            for sample in (samples[index] for index in spread(len(samples), most))
        ]
    else:
        pictures = [name for name in names if name.lower().endswith(SUFFIXES) and not _is_hidden(name)]
        found = [(pictures[index], source.read(pictures[index]), ()) for index in spread(len(pictures), most)]
    if not found:
        raise ClientError(f"{path} holds no picture ({', '.join(SUFFIXES)}): give a folder or a zip that does")
    return _decoded(path, found)


def write_input(path: Path, model: Model, pictures: Pictures) -> None:
    """Writes pictures for a model as perf_analyzer's `--input-data` reads them."""
    if model.takes == "photographs":
        # A text in Triton is its length and then its bytes.
        contents = [struct.pack("<I", len(each)) + each for each in pictures.photographs]
        shape = [1]
    else:
        contents = [each.tobytes() for each in tensors(model, pictures)]
        shape = list(model.shape)
    data = [
        {model.input_name: {"content": {"b64": base64.b64encode(each).decode()}, "shape": shape}} for each in contents
    ]
    path.write_text(json.dumps({"data": data}))


def tensors(model: Model, pictures: Pictures) -> npt.NDArray[np.uint8]:
    """Returns pictures as a network takes them: uint8 [n, height, width, 3]."""
    height, width = model.shape[:2]
    if model.takes == "signs":
        return pictures.crops(height)
    return np.stack([fit_scene(scene, height, width).pixels for scene in pictures.scenes])


def _decoded(path: Path, found: Sequence[tuple[str, bytes, tuple[Box, ...]]]) -> Pictures:
    scenes = []
    for name, content, _ in found:
        try:
            scenes.append(decode(content))
        except ImageError as error:
            raise ClientError(f"{path}: {name} cannot be sent: {error}. Take it out, or give other pictures") from error
    photographs, boxes = tuple(each[1] for each in found), tuple(each[2] for each in found)
    return Pictures(str(path), photographs, tuple(scenes), boxes)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
