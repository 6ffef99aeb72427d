"""Writes the figures of an evaluation or audit as JSON, with pictures beside them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from traffic_signs.atomic_write import write_whole
from traffic_signs.progress import ProgressCallback, silent


def write_report(
    path: Path,
    figures: Mapping[str, Any],
    pictures: Mapping[str, Callable[[Path], None]],
    progress: ProgressCallback = silent,
) -> list[Path]:
    """Writes a JSON file and pictures into its folder, created if missing; returns their paths, the JSON file first.

    An old JSON file is removed first and the new one is written last: if it exists, the pictures belong to it.

    `pictures` has, by file name, a function that draws the picture into a file; `progress` counts finished pictures.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    for done, (name, draw) in enumerate(pictures.items(), start=1):
        draw(path.with_name(name))
        progress("drawing pictures", done, len(pictures))
    write_whole(path, json.dumps(figures, indent=2, allow_nan=False) + "\n")
    return [path, *map(path.with_name, pictures)]
