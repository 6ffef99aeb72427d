"""The sign detector: an anchor-free, single-pass network from street scenes to boxes.

A sign is a peak of a heatmap at a quarter of the scene's resolution (Zhou et al., 2019, arXiv 1904.07850). The cells
around the peak predict the distances to the sign's four sides (Tian et al., 2019, arXiv 1904.01355) and the quality of
that box.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.classifier import PIXEL_MEAN, PIXEL_STD
from training.models.networks.small_resnet import ResidualBlock
from training.recipe import DetectorRecipe

MODEL_NAME = "sign_detector"  # in the model registry and on the server
# Arguments of `SignDetector` by architecture. For a scene of 800x1360 pixels the small one takes 10.1 billion
# multiply-adds, the other one 18.9; on the 300 test scenes of GTSDB their mAP does not differ significantly.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "centre_net_small": {"widths": (16, 32, 64, 128, 160), "neck": 48},
    "centre_net": {"widths": (32, 64, 96, 128, 128), "neck": 64},
}
DEFAULT = DetectorRecipe.architecture

STRIDE = 4  # pixels per cell of the maps
DEEPEST = 32  # pixels per cell of the coarsest layer; scenes are padded to a multiple
UNIT = 16.0  # pixels to a side for an output of 0; the median sign of GTSDB has 38 pixels
PEAK = 5  # side in cells of the square in which the highest cell is a peak
MAX_DETECTIONS = 100  # per scene


class Maps(NamedTuple):
    """The outputs of the network for every cell."""

    heat: Tensor  # float32 [n, categories, h, w], logits of a sign's centre being in the cell
    sides: Tensor  # float32 [n, 4, h, w], pixels from the cell's centre to the sign's left, top, right and bottom
    quality: Tensor  # float32 [n, 1, h, w], logits of the overlap (intersection over union) of that box with the sign


class Found(NamedTuple):
    """The MAX_DETECTIONS best detections, by descending score; most have a score near 0."""

    boxes: Tensor  # float32 [n, MAX_DETECTIONS, 4]: left, top, right, bottom in pixels, the last two exclusive
    scores: Tensor  # float32 [n, MAX_DETECTIONS], 0 to 1
    categories: Tensor  # int32 [n, MAX_DETECTIONS]


class SignDetector(nn.Module):
    """Finds traffic signs in street scenes.

    Args:
        widths: channels of the layers at strides 2, 4, 8, 16 and 32.
        neck: channels of the upsampling path to stride 4.
        depths: residual blocks of the layers at strides 4, 8, 16 and 32.
    """

    def __init__(
        self, num_categories: int, widths: tuple[int, ...], neck: int, depths: tuple[int, ...] = (1, 2, 2, 2)
    ) -> None:
        super().__init__()
        self.num_categories = num_categories
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        stages = zip(widths, widths[1:], depths, strict=False)
        self.stages = nn.ModuleList(_stage(before, after, depth) for before, after, depth in stages)
        self.laterals = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[1:])
        self.smooth = nn.ModuleList(_convolution(neck, neck) for _ in widths[2:])
        self.head = _convolution(neck, neck)
        self.answers = nn.Conv2d(neck, num_categories + 4 + 1, 1)
        # Starts with a low probability everywhere, as nearly every cell is empty.
        bias = torch.zeros(num_categories + 4 + 1)
        bias[:num_categories] = -4.6
        self.answers.bias = nn.Parameter(bias)

    def forward(self, images: Tensor) -> Maps:
        """Maps scenes [n, height, width, 3], RGB, 0 to 255, uint8 or float, to maps.

        A map has ceil(height / 32) * 8 by ceil(width / 32) * 8 cells.
        """
        dtype = next(self.parameters()).dtype
        x = ((images.to(dtype) - PIXEL_MEAN) / PIXEL_STD).permute(0, 3, 1, 2)
        x = F.pad(x, (0, -images.shape[2] % DEEPEST, 0, -images.shape[1] % DEEPEST))
        x = self.stem(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        y = self.laterals[-1](levels[-1])
        for level in reversed(range(len(levels) - 1)):
            y = self.laterals[level](levels[level]) + F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.smooth[level](y)
        heat, sides, quality = self.answers(self.head(y)).float().split((self.num_categories, 4, 1), dim=1)
        return Maps(heat, UNIT * sides.clamp(-8, 4).exp(), quality)


def build_detector(num_categories: int, architecture: str, **arguments: Any) -> SignDetector:
    """Builds the detector of an architecture, one of ARCHITECTURES, some of whose arguments may be others."""
    return SignDetector(num_categories, **(ARCHITECTURES[architecture] | arguments))


def find_peaks(maps: Maps, height: int, width: int) -> Found:
    """Decodes the maps to detections, clipped to the height and width of the scenes in pixels.

    The box of a peak is the mean of the predictions of its 3x3 cells, weighted by their heat, which is more accurate
    than the peak's own prediction. A peak has only its most probable category, so no sign is detected twice and no
    non-maximum suppression is needed.
    """
    logits, categories = maps.heat.max(dim=1, keepdim=True)
    # On logits: the sigmoids of two large logits can be equal.
    is_peak = F.max_pool2d(logits, PEAK, stride=1, padding=PEAK // 2) == logits
    heat = logits.sigmoid()
    score = heat * maps.quality.sigmoid().sqrt() * is_peak
    rows, columns = maps.heat.shape[2:]
    device = maps.heat.device
    y = ((torch.arange(rows, device=device) + 0.5) * STRIDE).view(1, rows, 1).expand(1, rows, columns)
    x = ((torch.arange(columns, device=device) + 0.5) * STRIDE).view(1, 1, columns).expand(1, rows, columns)
    centres = torch.cat((x, y, x, y)).unsqueeze(0)
    signs = maps.sides.new_tensor((-1.0, -1.0, 1.0, 1.0)).view(1, 4, 1, 1)
    boxes = centres + signs * maps.sides
    weight = F.avg_pool2d(heat, 3, stride=1, padding=1)
    boxes = F.avg_pool2d(boxes * heat, 3, stride=1, padding=1) / weight.clamp(min=1e-9)
    scores, cells = score.flatten(1).topk(MAX_DETECTIONS, dim=1)
    boxes = boxes.flatten(2).gather(2, cells.unsqueeze(1).expand(-1, 4, -1)).transpose(1, 2)
    edges = boxes.new_tensor((width, height, width, height))
    boxes = boxes.clamp(min=0).minimum(edges)
    return Found(boxes, scores, categories.flatten(1).gather(1, cells).to(torch.int32))


def _stage(before: int, after: int, depth: int) -> nn.Sequential:
    first = ResidualBlock(before, after, stride=2)
    return nn.Sequential(first, *(ResidualBlock(after, after) for _ in range(depth - 1)))


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
