"""Tests of the proof that an exported detector finds what the trained one finds."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from export.arrays import Outputs
from export.detection_parity import compare_signs, require_same_signs
from export.errors import ParityError
from export.parity import probe_images
from export.precision import FP32, TOLERANCES
from export.predictor import OnnxPredictor, TorchPredictor
from export.repository import verify_files
from export.repository.policy import read_config
from export.run import export_checkpoint
from traffic_signs.classes import GERMAN_SIGNS
from training.checkpoint import load_checkpoint
from training.models.detector import MAX_DETECTIONS, MODEL_NAME

pytestmark = pytest.mark.kernels

HEIGHT, WIDTH = 96, 160  # of the detector in tests/conftest.py
FP32_TOLERANCE = TOLERANCES[FP32]


@pytest.fixture
def scenes() -> npt.NDArray[np.uint8]:
    blocks = np.random.default_rng(1).integers(0, 256, (6, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture
def answers() -> Outputs:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (2, MAX_DETECTIONS, 2)).astype(np.float32)
    scores = -np.sort(-rng.uniform(0, 1, (2, MAX_DETECTIONS)).astype(np.float32), axis=1)
    categories = rng.integers(0, 4, (2, MAX_DETECTIONS), np.int32)
    return {"boxes": np.concatenate([corners, corners + 30], axis=2), "scores": scores, "categories": categories}


def test_published_version_finds_what_the_checkpoint_finds(
    detector_checkpoint: Path, tmp_path: Path, scenes: npt.NDArray[np.uint8]
) -> None:
    manifest = export_checkpoint(detector_checkpoint, tmp_path, scenes)

    assert (manifest.model, manifest.version) == (MODEL_NAME, 1)
    assert manifest.inputs == [{"name": "scenes", "datatype": "UINT8", "shape": [-1, HEIGHT, WIDTH, 3]}]
    assert manifest.outputs == [
        {"name": "boxes", "datatype": "FP32", "shape": [-1, MAX_DETECTIONS, 4]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, MAX_DETECTIONS]},
        {"name": "categories", "datatype": "INT32", "shape": [-1, MAX_DETECTIONS]},
    ]
    assert manifest.parity["real_samples"] == 6 and manifest.parity["disagreements"] == 0
    assert manifest.parity["max_difference"] <= FP32_TOLERANCE.difference
    verify_files(tmp_path / MODEL_NAME / "1", manifest)
    config = read_config((tmp_path / MODEL_NAME / "config.pbtxt").read_bytes(), "")
    assert [output.name for output in config.output] == ["boxes", "scores", "categories"]
    path = tmp_path / MODEL_NAME / "1" / "model.onnx"
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert metadata["class_names"].split("\n") == list(GERMAN_SIGNS.category_names)
    detect = OnnxPredictor(path)
    assert (detect(scenes)["scores"] > FP32_TOLERANCE.floor).any()  # there is something to agree on
    whole, alone = detect(scenes), detect(scenes[2:3])
    np.testing.assert_allclose(whole["boxes"][2], alone["boxes"][0], atol=1e-3)


def test_a_detector_that_differs_is_refused(detector_checkpoint: Path, scenes: npt.NDArray[np.uint8]) -> None:
    answers = TorchPredictor(*load_checkpoint(detector_checkpoint))(probe_images(scenes, noises=2))
    boxes = answers["boxes"].copy()
    boxes[[2, 4]] += np.array([0.1, 0.2], np.float32).reshape(2, 1, 1)

    message = r"boxes by up to 0\.2 pixels .* the farthest of 14 scenes are real image 4, real image 2$"
    with pytest.raises(ParityError, match=message):
        require_same_signs(answers, {**answers, "boxes": boxes}, real=6)


def test_equal_answers_agree_and_so_do_those_in_another_order(answers: Outputs) -> None:
    parity, _ = compare_signs(answers, answers)
    assert (parity.samples, parity.max_difference, parity.max_box_difference, parity.disagreements) == (2, 0, 0, 0)

    swapped = answers["scores"].copy()
    swapped[0, [3, 4]] = answers["scores"][0, 3]
    order = np.arange(MAX_DETECTIONS)
    order[[3, 4]] = order[[4, 3]]
    first = {**answers, "scores": swapped}
    second = {name: values if name == "scores" else values[:, order] for name, values in first.items()}
    assert compare_signs(first, second)[0].disagreements == 0


def test_differences_are_found_where_they_are(answers: Outputs) -> None:
    scores = answers["scores"].copy()
    scores[1, 0] += 0.01
    parity, worst = compare_signs(answers, {**answers, "scores": scores})
    assert parity.max_difference == pytest.approx(0.01, abs=1e-5) and worst == [1]

    categories = answers["categories"].copy()
    categories[0, 0] = (categories[0, 0] + 1) % 4
    parity, worst = compare_signs(answers, {**answers, "categories": categories})
    assert parity.disagreements >= 2 and worst == [0]

    boxes = answers["boxes"].copy()
    boxes[1, 5] += 40
    assert compare_signs(answers, {**answers, "boxes": boxes})[0].disagreements >= 2


@pytest.mark.parametrize("field", ["scores", "boxes"])
def test_what_is_no_number_is_never_equal(answers: Outputs, field: str) -> None:
    broken = answers[field].copy()
    broken[0, 0] = np.nan

    parity, _ = compare_signs(answers, {**answers, field: broken})

    assert parity.disagreements or not parity.max_difference <= FP32_TOLERANCE.difference


def test_which_cells_of_a_plain_area_are_peaks_is_not_compared_but_a_score_that_counts_is(answers: Outputs) -> None:
    scores = np.zeros_like(answers["scores"])
    scores[:, :5], scores[:, 5:8] = 0.9, FP32_TOLERANCE.floor * 0.9
    plain = {**answers, "scores": scores}
    other = scores.copy()
    other[:, 7] = 0  # one peak fewer among those that nobody looks at
    assert compare_signs(plain, {**answers, "scores": other})[0].max_difference == 0
    other[0, 7] = FP32_TOLERANCE.floor * 1.2
    parity, worst = compare_signs(plain, {**answers, "scores": other})
    assert parity.max_difference == pytest.approx(FP32_TOLERANCE.floor * 0.3) and worst == [0]


def test_of_plain_pictures_only_the_highest_score_is_compared(answers: Outputs) -> None:
    """Which of equal peaks are among the best is left to rounding."""
    moved = {**answers, "boxes": answers["boxes"].copy(), "scores": answers["scores"].copy()}
    moved["boxes"][1] += 100
    moved["scores"][1, 1:] = 0.06
    assert compare_signs(answers, moved)[1] == [1]
    assert compare_signs(answers, moved, plain=1)[1] == []
    moved["scores"][1, 0] += 0.01
    assert compare_signs(answers, moved, plain=1)[1] == [1]
    moved["scores"][1, 0] = np.nan
    assert compare_signs(answers, moved, plain=1)[1] == [1]


def test_where_all_peaks_count_those_at_the_end_may_be_others(answers: Outputs) -> None:
    scores = np.full_like(answers["scores"], 0.3)
    scores[:, :5] = 0.9
    full = {**answers, "scores": scores}
    other = {**full, "boxes": answers["boxes"].copy()}
    other["boxes"][0, 50:] += 300
    assert compare_signs(full, other)[1] == []
    other["boxes"][0, 4] += 300
    assert compare_signs(full, other)[1] == [0]
