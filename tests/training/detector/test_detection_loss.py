"""Tests of what the detector's maps are compared with."""

import pytest
import torch
from torch import Tensor

from tests.training.models.test_detector import COLUMNS, ROWS, _maps
from training.detector.loss import box_overlap, detection_loss, draw_targets
from training.models.detector import Maps


def _draw(boxes: list[list[float]], labels: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    shaped = torch.tensor([boxes], dtype=torch.float32).reshape(1, -1, 4)
    return draw_targets(shaped, torch.tensor([labels], dtype=torch.int64), 4, ROWS, COLUMNS)


def test_heat_is_one_at_the_centre_and_falls_off_in_its_own_category_only() -> None:
    heat, matters, _ = _draw([[40, 20, 80, 60]], [2])

    assert heat[0, 2].max() == 1 and (heat[0, 2] == 1).nonzero().tolist() == [[10, 15]]
    assert 0 < heat[0, 2, 10, 16] < 1 and heat[0, 2, 10, 16] == heat[0, 2, 11, 15]
    assert heat[0, 2, 10, 25] < 1e-3
    assert not heat[0, [0, 1, 3]].any()
    assert matters.all()


def test_cells_around_a_centre_know_whose_sides_they_learn() -> None:
    _, _, owner = _draw([[40, 20, 80, 60], [100, 40, 112, 52]], [2, 0])

    assert (owner[0] == 0).sum() == 9 and (owner[0, 9:12, 14:17] == 0).all()
    assert (owner[0] == 1).sum() == 9 and (owner[0, 10:13, 25:28] == 1).all()
    assert (owner[0] == -1).sum() == ROWS * COLUMNS - 18


def test_a_cell_of_two_signs_belongs_to_the_smaller_one() -> None:
    _, _, owner = _draw([[0, 0, 80, 80], [36, 36, 48, 48]], [1, 1])

    assert owner[0, 10, 10] == 1


def test_a_sign_that_is_cut_off_is_neither_wanted_nor_wrong() -> None:
    heat, matters, owner = _draw([[0, 20, 16, 60]], [-1])

    assert not heat.any() and (owner == -1).all()
    assert not matters[0, 0, 5:15, 0:4].any() and matters[0, 0, :, 5:].all()
    assert _loss(_maps((0, 20, 16, 60, 3)), [[0, 20, 16, 60]], [-1]) < 1e-3


@pytest.mark.parametrize("labels", [[], [-2], [-2, -2]])
def test_a_scene_without_signs_wants_cold_maps(labels: list[int]) -> None:
    boxes = [[0.0, 0.0, 0.0, 0.0]] * len(labels)

    assert _loss(_maps(), boxes, labels) < 1e-3
    assert _loss(_maps((40, 20, 80, 60, 2)), boxes, labels) > 1


def test_perfect_maps_cost_nearly_nothing_and_worse_ones_more() -> None:
    box = [40.0, 20.0, 80.0, 60.0]
    perfect = _loss(_maps((40, 20, 80, 60, 2), sure=12.0), [box], [2])

    assert perfect < 0.3  # the cells beside the centre are a little too hot
    assert _loss(_maps((40, 20, 80, 60, 1), sure=12.0), [box], [2]) > perfect + 1  # category
    assert _loss(_maps((46, 26, 86, 66, 2), sure=12.0), [box], [2]) > perfect + 0.3  # place
    assert _loss(_maps(), [box], [2]) > perfect + 1  # nothing found
    assert _loss(_maps((40, 20, 80, 60, 2), sure=12.0, quality=-6.0), [box], [2]) > perfect + 1  # no faith in the box


def test_reports_the_overlap_that_the_boxes_reach() -> None:
    labels = torch.tensor([[2]])
    boxes = torch.tensor([[[40.0, 20.0, 80.0, 60.0]]])

    assert detection_loss(_maps((40, 20, 80, 60, 2)), boxes, labels)[1].item() == pytest.approx(1.0)
    assert detection_loss(_maps((40, 20, 60, 60, 2)), boxes, labels)[1].item() < 0.9


def test_gradients_are_finite_where_there_is_nothing_to_learn() -> None:
    maps = Maps(*(each.clone().requires_grad_() for each in _maps()))

    loss, _ = detection_loss(maps, torch.zeros(1, 1, 4), torch.tensor([[-2]]))
    loss.backward()  # type: ignore[no-untyped-call]

    assert all(each.grad is None or each.grad.isfinite().all() for each in maps)
    assert maps.heat.grad is not None


def test_overlap_of_boxes_and_how_far_apart_they_are() -> None:
    first = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 3)
    second = torch.tensor([[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 0.0, 30.0, 10.0]])

    overlap, generalised = box_overlap(first, second)

    torch.testing.assert_close(overlap, torch.tensor([1.0, 1 / 3, 0.0]))
    torch.testing.assert_close(generalised, torch.tensor([1.0, 1 / 3, -1 / 3]))


def _loss(maps: Maps, boxes: list[list[float]], labels: list[int]) -> float:
    shaped = torch.tensor([boxes], dtype=torch.float32).reshape(1, -1, 4)
    return detection_loss(maps, shaped, torch.tensor([labels], dtype=torch.int64))[0].item()
