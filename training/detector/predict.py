"""Runs a detector over whole scenes."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.detector.detections import Detections
from training.models.detector import Maps, find_peaks

FLOOR = 0.01  # scores below say nothing, and there are 100 a scene


def scene_maps(model: nn.Module, images: Sequence[npt.NDArray[np.uint8]]) -> Iterator[Maps]:
    """Runs the network over scenes, one after another, on the device where it is.

    Args:
        model: maps scenes to maps; it is put into evaluation mode.
        images: uint8 [height, width, 3] each.

    Yields:
        The maps of each scene, as a batch of one.
    """
    model.eval()
    device = next(model.parameters()).device
    for image in images:
        with torch.inference_mode():
            yield model(torch.from_numpy(image).unsqueeze(0).to(device))


def read_maps(maps: Maps, height: int, width: int) -> Detections:
    """Returns the signs of one scene with scores above FLOOR, the surest first; labels are category ids."""
    with torch.inference_mode():
        boxes, scores, categories = (each[0].cpu().numpy() for each in find_peaks(maps, height, width))
    return keep_signs(boxes, scores, categories)


def keep_signs(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], categories: npt.NDArray[np.int32]
) -> Detections:
    """Returns the boxes of one scene that an evaluation looks at; labels are category ids."""
    # Cells beyond the edge of the scene have boxes that are nothing after they have been clipped to it.
    kept = (scores > FLOOR) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Detections(boxes[kept], scores[kept], categories[kept].astype(np.int64))


def detect(
    model: nn.Module,
    images: Sequence[npt.NDArray[np.uint8]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Detections]:
    """Finds the signs of scenes; see `scene_maps` and `read_maps`."""
    found = []
    for image, maps in zip(images, scene_maps(model, images), strict=True):
        found.append(read_maps(maps, image.shape[0], image.shape[1]))
        progress(len(found), len(images))
    return found
