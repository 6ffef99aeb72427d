"""Targets and loss of the detector's maps."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from training.models.detector import STRIDE, Maps

SPREAD = 1 / 6  # standard deviation of a peak as a share of the sign's side
NEIGHBOURS = 1  # cells around the centre that learn the sides, too
SIDES_WEIGHT, QUALITY_WEIGHT = 2.0, 0.5


class Targets(NamedTuple):
    """Targets of the maps of n scenes of h by w cells."""

    heat: Tensor  # float32 [n, categories, h, w], 1 at the centres of signs, decreasing around them
    matters: Tensor  # bool [n, 1, h, w], False at signs that are ignored
    owner: Tensor  # int64 [n, h, w], index of the sign whose sides the cell learns, or -1


def draw_targets(boxes: Tensor, labels: Tensor, categories: int, rows: int, columns: int) -> Targets:
    """Draws the targets of boxes.

    Args:
        boxes: float32 [n, m, 4], pixels.
        labels: int64 [n, m], category ids; -1 is an ignored sign, lower values are padding.
        rows: height h of the maps.
        columns: width w of the maps.
    """
    n = len(labels)
    if labels.shape[1] == 0:  # the minimum below needs at least one sign
        boxes, labels = boxes.new_zeros(n, 1, 4), labels.new_full((n, 1), -2)
    cells = boxes / STRIDE
    x = torch.arange(columns, device=boxes.device) + 0.5
    y = torch.arange(rows, device=boxes.device) + 0.5
    left, top, right, bottom = (each.unsqueeze(2) for each in cells.unbind(dim=2))
    wanted = labels >= 0
    column = ((left + right) / 2).floor().clamp(0, columns - 1)
    row = ((top + bottom) / 2).floor().clamp(0, rows - 1)
    far_x, far_y = (x - 0.5 - column).abs(), (y - 0.5 - row).abs()
    across = torch.exp(-0.5 * (far_x / ((right - left) * SPREAD).clamp(min=0.5)) ** 2)
    along = torch.exp(-0.5 * (far_y / ((bottom - top) * SPREAD).clamp(min=0.5)) ** 2)
    peaks = along.unsqueeze(3) * across.unsqueeze(2) * wanted[:, :, None, None]  # [n, m, h, w]
    heat = peaks.new_zeros(n, categories, rows, columns)
    index = labels.clamp(min=0)[:, :, None, None].expand(-1, -1, rows, columns)
    heat.scatter_reduce_(1, index, peaks, "amax")

    inside_x, inside_y = (x >= left) & (x <= right), (y >= top) & (y <= bottom)
    hidden = (labels == -1)[:, :, None, None] & inside_y.unsqueeze(3) & inside_x.unsqueeze(2)
    matters = ~hidden.any(dim=1, keepdim=True)

    near = (far_y <= NEIGHBOURS).unsqueeze(3) & (far_x <= NEIGHBOURS).unsqueeze(2)
    near &= inside_y.unsqueeze(3) & inside_x.unsqueeze(2) & wanted[:, :, None, None]
    # A cell of two signs belongs to the smaller one, which has fewer other cells.
    area = (right - left) * (bottom - top)
    size = torch.where(near, area.unsqueeze(3), torch.inf)
    smallest, owner = size.min(dim=1)
    return Targets(heat, matters, torch.where(smallest.isinf(), -1, owner).view(n, rows, columns))


def detection_loss(maps: Maps, boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the loss of maps for the signs of their scenes.

    Args:
        maps: outputs of the network for n scenes.
        boxes: float32 [n, m, 4], pixels.
        labels: int64 [n, m]; see `draw_targets`.

    Returns:
        The loss and the mean overlap, 0 to 1. The loss is the sum of the penalty-reduced focal loss of the heat (Zhou
        et al., 2019), the generalised intersection over union of the sides (Rezatofighi et al., 2019, arXiv
        1902.09630), and the cross-entropy of the quality with the overlap.
    """
    rows, columns = maps.heat.shape[2:]
    targets = draw_targets(boxes, labels, maps.heat.shape[1], rows, columns)
    count = (labels >= 0).sum().clamp(min=1)
    heat = _focal_loss(maps.heat, targets.heat, targets.matters) / count
    scene, row, column = torch.nonzero(targets.owner >= 0, as_tuple=True)
    wanted = boxes[scene, targets.owner[scene, row, column]]
    centre = (torch.stack((column, row), dim=1) + 0.5) * STRIDE
    sides = maps.sides[scene, :, row, column]
    reached = torch.cat((centre - sides[:, :2], centre + sides[:, 2:]), dim=1)
    overlap, generalised = box_overlap(reached, wanted)
    cells = max(1, len(overlap))
    quality = F.binary_cross_entropy_with_logits(
        maps.quality[scene, 0, row, column], overlap.detach().clamp(0, 1), reduction="sum"
    )
    loss = heat + SIDES_WEIGHT * (1 - generalised).sum() / cells + QUALITY_WEIGHT * quality / cells
    return loss, overlap.detach().sum() / cells


def _focal_loss(logits: Tensor, target: Tensor, matters: Tensor) -> Tensor:
    """Returns the sum over all cells of the penalty-reduced focal loss, alpha 2 and beta 4."""
    probability = logits.sigmoid()
    is_centre = target == 1
    positive = (1 - probability) ** 2 * F.softplus(-logits)
    negative = (1 - target) ** 4 * probability**2 * F.softplus(logits)
    return (torch.where(is_centre, positive, negative) * matters).sum()


def box_overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the intersection over union and its generalised form of pairs of boxes [n, 4], [n] each."""
    common = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    intersection, enclosing = common.prod(dim=1), hull.prod(dim=1)
    union = (first[:, 2:] - first[:, :2]).prod(dim=1) + (second[:, 2:] - second[:, :2]).prod(dim=1) - intersection
    overlap = intersection / union.clamp(min=1e-9)
    return overlap, overlap - (enclosing - union) / enclosing.clamp(min=1e-9)
