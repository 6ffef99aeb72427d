"""Runs a detector over whole scenes."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.data.images import Progress, silent
from training.detector.detections import Detections
from training.models.detector import Maps, find_peaks

FLOOR = 0.01  # detections with lower scores are noise, and each scene has 100


def scene_maps(model: nn.Module, images: Sequence[npt.NDArray[np.uint8]]) -> Iterator[Maps]:
    """Runs the network over scenes, one by one, on the network's device; yields the maps of each, as a batch of one.

    The images are uint8 [height, width, 3]; the network is set to evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    for image in images:
        with torch.inference_mode():
            yield model(torch.from_numpy(image).unsqueeze(0).to(device))


def read_maps(maps: Maps, height: int, width: int) -> Detections:
    """Decodes the maps of one scene to detections with scores above FLOOR, descending; labels are category ids."""
    with torch.inference_mode():
        boxes, scores, categories = (each[0].cpu().numpy() for each in find_peaks(maps, height, width))
    return keep_signs(boxes, scores, categories)


def keep_signs(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], categories: npt.NDArray[np.int32]
) -> Detections:
    """Returns the boxes of one scene that an evaluation looks at; labels are category ids."""
    # Boxes of cells in the padding are empty after clipping.
    kept = (scores > FLOOR) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Detections(boxes[kept], scores[kept], categories[kept].astype(np.int64))


def detect(model: nn.Module, images: Sequence[npt.NDArray[np.uint8]], progress: Progress = silent) -> list[Detections]:
    """Detects the signs of scenes; see `scene_maps` and `read_maps`."""
    found = []
    for image, maps in zip(images, scene_maps(model, images), strict=True):
        found.append(read_maps(maps, image.shape[0], image.shape[1]))
        progress(len(found), len(images))
    return found
