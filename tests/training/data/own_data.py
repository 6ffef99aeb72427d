"""Small data sets of one's own in the three layouts that people have: squares and discs in two colours."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {"blue disc": (30, 80, 210), "red disc": (210, 30, 30), "red square": (200, 40, 30)}
NAMES = tuple(COLOURS)
SCENE = (160, 120)


def picture(name: str, seed: int, size: int = 40) -> bytes:
    """Returns one sign from edge to edge, as PNG."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 150, (size, size, 3), dtype=np.uint8))
    _draw(image, name, (2, 2, size - 3, size - 3))
    return _encoded(image)


def scene(boxes: list[tuple[str, tuple[int, int, int, int]]], seed: int) -> bytes:
    """Returns a scene with signs at boxes of left, top, right and bottom, as PNG."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 150, (SCENE[1], SCENE[0], 3), dtype=np.uint8))
    for name, box in boxes:
        _draw(image, name, box)
    return _encoded(image)


def write_image_folders(folder: Path, count: int = 12, split: str = "") -> Path:
    """Writes `folder[/split]/<class>/<number>.png`."""
    for number, name in enumerate(NAMES):
        place = folder / split / name
        place.mkdir(parents=True, exist_ok=True)
        for seed in range(count):
            (place / f"{seed:03}.png").write_bytes(picture(name, 1000 * number + seed))
    return folder


def scene_boxes(number: int) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Returns which signs scene `number` shows, and where."""
    left = 5 + 7 * (number % 5)
    return [(NAMES[number % 3], (left, 10, left + 30, 40)), (NAMES[(number + 1) % 3], (90, 60, 130, 100))]


def write_coco(folder: Path, splits: dict[str, int]) -> Path:
    """Writes `folder/<split>/_annotations.coco.json` and its scenes; the categories are discs and squares."""
    start = 0
    for split, count in splits.items():
        (folder / split).mkdir(parents=True)
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for number in range(start, start + count):
            images.append({"id": number, "file_name": f"{number:04}.png", "width": SCENE[0], "height": SCENE[1]})
            (folder / split / f"{number:04}.png").write_bytes(scene(scene_boxes(number), number))
            for name, (left, top, right, bottom) in scene_boxes(number):
                box = [left, top, right - left, bottom - top]
                category = 1 + NAMES.index(name)
                annotations.append({"id": len(annotations), "image_id": number, "category_id": category, "bbox": box})
        categories = [
            {"id": 1 + position, "name": name, "supercategory": name.split()[1]} for position, name in enumerate(NAMES)
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / split / "_annotations.coco.json").write_text(json.dumps(content))
        start += count
    return folder


def write_yolo(folder: Path, splits: dict[str, int]) -> Path:
    """Writes `folder/images/<split>`, `folder/labels/<split>` and data.yaml."""
    start = 0
    for split, count in splits.items():
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for number in range(start, start + count):
            (images / f"{number:04}.png").write_bytes(scene(scene_boxes(number), number))
            lines = []
            for name, (left, top, right, bottom) in scene_boxes(number):
                centre = ((left + right) / 2 / SCENE[0], (top + bottom) / 2 / SCENE[1])
                size = ((right - left) / SCENE[0], (bottom - top) / SCENE[1])
                lines.append(" ".join(map(str, (NAMES.index(name), *centre, *size))))
            (labels / f"{number:04}.txt").write_text("\n".join(lines) + "\n")
        start += count
    (folder / "data.yaml").write_text(f"names: {json.dumps(list(NAMES))}\n")
    return folder


def _draw(image: Image.Image, name: str, box: tuple[int, int, int, int]) -> None:
    draw = ImageDraw.Draw(image)
    (draw.ellipse if name.endswith("disc") else draw.rectangle)(box, fill=COLOURS[name])


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
