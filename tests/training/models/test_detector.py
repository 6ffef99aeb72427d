"""Tests of the detector's network, and of how signs are read off its maps."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from training.models.detector import ARCHITECTURES, MAX_DETECTIONS, STRIDE, Maps, SignDetector, find_peaks

ROWS, COLUMNS = 24, 40
HEIGHT, WIDTH = ROWS * STRIDE, COLUMNS * STRIDE
Sign = tuple[float, float, float, float, int]


@pytest.fixture
def model() -> SignDetector:
    torch.manual_seed(0)
    return SignDetector(4, widths=(8, 8, 16, 16, 16), neck=16).eval()


def _maps(*signs: Sign, sure: float = 6.0, quality: float = 20.0) -> Maps:
    """Returns maps that show signs, given as left, top, right, bottom and category, as a perfect network would."""
    heat = torch.full((1, 4, ROWS, COLUMNS), -12.0)
    sides = torch.full((1, 4, ROWS, COLUMNS), 5.0)
    for left, top, right, bottom, category in signs:
        column, row = int((left + right) / 2 / STRIDE), int((top + bottom) / 2 / STRIDE)
        for y in range(max(0, row - 1), min(ROWS, row + 2)):
            for x in range(max(0, column - 1), min(COLUMNS, column + 2)):
                centre_x, centre_y = (x + 0.5) * STRIDE, (y + 0.5) * STRIDE
                heat[0, category, y, x] = sure if (x, y) == (column, row) else sure - 4
                sides[0, :, y, x] = torch.tensor((centre_x - left, centre_y - top, right - centre_x, bottom - centre_y))
    return Maps(heat, sides, torch.full((1, 1, ROWS, COLUMNS), quality))


@pytest.mark.parametrize(("height", "width"), [(96, 160), (90, 140), (32, 32)])
def test_a_cell_for_every_four_pixels_filled_up_to_thirty_two(model: SignDetector, height: int, width: int) -> None:
    maps = model(torch.zeros(2, height, width, 3, dtype=torch.uint8))

    cells = (-(-height // 32) * 8, -(-width // 32) * 8)
    assert maps.heat.shape == (2, 4, *cells)
    assert maps.sides.shape == (2, 4, *cells) and (maps.sides > 0).all()
    assert maps.quality.shape == (2, 1, *cells)
    assert {each.dtype for each in maps} == {torch.float32}


@pytest.mark.parametrize(("architecture", "most"), [("centre_net_small", 10.5e9), ("centre_net", 19e9)])
def test_parameters_and_arithmetic_of_a_scene_are_bounded(architecture: str, most: float) -> None:
    with torch.device("meta"):  # shapes alone: nothing is computed
        network = SignDetector(4, **ARCHITECTURES[architecture]).eval()
        scene = torch.zeros(1, 800, 1360, 3)

    with FlopCounterMode(display=False) as counter:
        network(scene)

    assert 0.9 * most < counter.get_total_flops() / 2 <= most, "multiply-adds"
    assert 1_500_000 < sum(parameter.numel() for parameter in network.parameters()) <= 2_000_000


def test_an_untrained_network_is_sure_of_nothing(model: SignDetector) -> None:
    scenes = torch.randint(0, 256, (1, 96, 160, 3), dtype=torch.uint8)

    assert model(scenes).heat.sigmoid().mean() < 0.05


def test_every_parameter_gets_a_gradient(model: SignDetector) -> None:
    maps = model.train()(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))

    sum(each.square().sum() for each in maps).backward()

    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_signs_are_read_with_box_category_and_score_the_surest_first() -> None:
    signs: list[Sign] = [(10, 20, 45, 60, 2), (80.5, 30.25, 99.0, 50.5, 0)]
    maps = _maps(*signs)
    maps.heat[0, 0, 10, 22] = 9.0  # of the second one

    found = find_peaks(maps, HEIGHT, WIDTH)

    assert (
        found.boxes.shape == (1, MAX_DETECTIONS, 4)
        and found.scores.shape == (1, MAX_DETECTIONS) == found.categories.shape
    )
    assert found.categories.dtype == torch.int32
    torch.testing.assert_close(found.boxes[0, 0], torch.tensor(signs[1][:4]))
    torch.testing.assert_close(found.boxes[0, 1], torch.tensor(tuple(map(float, signs[0][:4]))))
    assert found.categories[0, :2].tolist() == [0, 2]
    assert found.scores[0, 0] == pytest.approx(torch.sigmoid(torch.tensor(9.0)).item(), abs=1e-4)
    assert found.scores[0, 2] < 0.01
    assert (found.scores[0].diff() <= 0).all()


def test_a_sign_is_found_once_though_two_categories_see_it() -> None:
    maps = _maps((40, 40, 70, 70, 1))
    maps.heat[0, 3] = maps.heat[0, 1] - 0.5

    scores = find_peaks(maps, HEIGHT, WIDTH).scores[0]

    assert (scores > 0.1).sum() == 1


def test_signs_one_above_the_other_are_two() -> None:
    found = find_peaks(_maps((40, 10, 60, 30, 0), (40, 31, 60, 51, 0)), HEIGHT, WIDTH)

    assert (found.scores[0] > 0.5).sum() == 2
    assert sorted(found.boxes[0, :2, 1].round().int().tolist()) == [10, 31]


def test_a_box_the_network_does_not_believe_in_scores_less() -> None:
    sure = find_peaks(_maps((40, 40, 70, 70, 1)), HEIGHT, WIDTH).scores[0, 0]
    unsure = find_peaks(_maps((40, 40, 70, 70, 1), quality=0.0), HEIGHT, WIDTH).scores[0, 0]

    assert unsure == pytest.approx(sure.item() * 0.5**0.5, abs=1e-4)


def test_boxes_end_at_the_edge_of_the_scene() -> None:
    found = find_peaks(_maps((-8, -6, 20, 22, 0), (140, 70, 175, 110, 0)), HEIGHT, WIDTH)

    boxes: Tensor = found.boxes[0][found.scores[0] > 0.5]
    assert sorted(map(tuple, boxes.round().int().tolist())) == [(0, 0, 20, 22), (140, 70, WIDTH, HEIGHT)]
