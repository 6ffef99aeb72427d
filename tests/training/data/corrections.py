"""Writes feedback as the gateway does."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag


def encoded(pixels: npt.NDArray[np.uint8], form: str = "PNG", orientation: int = 1) -> bytes:
    """Returns a picture's bytes; an orientation above 1 says that it is to be turned before it is looked at."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, quality=95, exif=exif)
    return buffer.getvalue()


def entry_id(number: int) -> str:
    """Returns the id of an entry; a higher number is a newer one."""
    return f"20261123T{number:06d}Z-{(number * 2654435761) % 2**32:08x}"


def sign(left: float, top: float, right: float, bottom: float, class_id: int) -> dict[str, Any]:
    """Returns a corrected sign."""
    return {"box": [left, top, right, bottom], "class_id": class_id}


def write_entry(folder: Path, number: int, image: bytes, signs: list[Any], suffix: str = "png") -> Path:
    """Writes one whole entry and returns its folder."""
    entry = folder / entry_id(number)
    entry.mkdir(parents=True)
    (entry / f"image.{suffix}").write_bytes(image)
    content = {"schema": 1, "id": entry.name, "received": "2026-11-23T17:15:00Z", "request_id": "r", "signs": signs}
    (entry / "feedback.json").write_text(json.dumps(content | {"answered": [], "models": {}, "comment": ""}))
    return entry
