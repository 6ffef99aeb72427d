"""Parity holds for a true export, and a difference is found and named."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from export.arrays import Outputs
from export.classification_parity import compare_classes, require_same_classes
from export.conversion import convert
from export.errors import ExportError, ParityError
from export.parity import (
    EXTREMES,
    batch_sizes,
    noises_for,
    predict_in_batches,
    probe_images,
    probe_names,
)
from export.precision import FP32, TOLERANCES
from export.predictor import OnnxPredictor, TorchPredictor
from training.checkpoint import load_checkpoint

pytestmark = pytest.mark.kernels

Crops = npt.NDArray[np.uint8]


def answers(probabilities: npt.NDArray[np.float32]) -> Outputs:
    return {"probabilities": probabilities}


def test_an_exported_model_agrees_on_real_random_and_extreme_images(
    checkpoint: Path, tmp_path: Path, random_crops: Crops
) -> None:
    model, info = load_checkpoint(checkpoint)
    convert(model, info, tmp_path / "model.onnx")
    images = probe_images(random_crops)
    candidate = predict_in_batches(OnnxPredictor(tmp_path / "model.onnx"), images, batch_sizes(64, 7))
    reference = TorchPredictor(model, info)(images)
    parity = require_same_classes(reference, candidate, len(random_crops))
    assert parity.samples == len(images) > len(random_crops)
    assert parity.max_difference <= TOLERANCES[FP32].difference
    assert parity.disagreements == 0


def test_altered_weights_are_found(checkpoint: Path, tmp_path: Path, random_crops: Crops) -> None:
    model, info = load_checkpoint(checkpoint)
    path = tmp_path / "model.onnx"
    convert(model, info, path)
    proto = onnx.load(path)
    weights = next(each for each in proto.graph.initializer if each.name.endswith("head.weight"))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.01), weights.name))
    onnx.save(proto, path)
    reference, candidate = TorchPredictor(model, info)(random_crops), OnnxPredictor(path)(random_crops)
    with pytest.raises(ParityError, match=r"differs from PyTorch on \d+ of 80 images"):
        require_same_classes(reference, candidate, 80)


def test_another_class_for_a_real_image_is_refused_however_close() -> None:
    reference = np.full((3, 2), 0.5, np.float32)
    reference[:, 0] += 1e-6
    candidate = reference.copy()
    candidate[1] = candidate[1, ::-1]
    with pytest.raises(ParityError, match=r"1 of 3 images \(real image 1;"):
        require_same_classes(answers(reference), answers(candidate), real=3)
    assert require_same_classes(answers(reference), answers(candidate), real=0).disagreements == 1


def test_numbers_that_are_not_finite_are_refused() -> None:
    reference = np.full((2, 2), 0.5, np.float32)
    candidate = reference.copy()
    candidate[1, 0] = np.nan
    with pytest.raises(ParityError, match=r"1 of 2 images with numbers that are not finite: real image 1$"):
        require_same_classes(answers(reference), answers(candidate), real=2)
    with pytest.raises(ParityError, match=r"answers \(2, 3\), PyTorch \(2, 2\)"):
        require_same_classes(answers(reference), answers(np.zeros((2, 3), np.float32)), real=2)


def test_a_difference_names_the_random_and_extreme_images_that_show_it(random_crops: Crops) -> None:
    images = probe_images(random_crops[:2], noises=3)
    names = probe_names(2, len(images))
    assert names == ["real image 0", "real image 1", "noise 0", "noise 1", "noise 2", *EXTREMES]
    assert not images[names.index("black")].any() and (images[names.index("red")] == (255, 0, 0)).all()
    reference = np.full((len(images), 2), 0.5, np.float32)
    candidate = reference.copy()
    candidate[[names.index("noise 2"), names.index("white")], 0] += 0.25
    with pytest.raises(ParityError, match=r"2 of 11 images \(noise 2, white; largest difference 0\.25"):
        require_same_classes(answers(reference), answers(candidate), real=2)


def test_batches_of_one_seven_and_the_largest_are_run_in_order() -> None:
    sizes: list[int] = []

    def predict(images: Crops) -> Outputs:
        sizes.append(len(images))
        return {"first": images[:, 0, 0, :1]}

    images = np.zeros((100, 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(100)
    assert predict_in_batches(predict, images, batch_sizes(64, 7))["first"].ravel().tolist() == list(range(100))
    assert sizes == [1, 7, 64, 1, 7, 20]


@pytest.mark.parametrize(("largest", "sizes"), [(64, (1, 7, 64)), (256, (1, 7, 256)), (4, (1, 4)), (1, (1,))])
def test_a_batch_of_each_size_is_filled_however_few_images_are_real(largest: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(largest, 7) == sizes
    for real in (0, 5, 300):
        images = probe_images(np.zeros((real, 8, 8, 3), np.uint8), noises_for(sizes, real, fewest=16))
        asked: list[int] = []

        def predict(batch: Crops, asked: list[int] = asked) -> Outputs:
            asked.append(len(batch))
            return {"none": np.zeros((len(batch), 2), np.float32)}

        assert len(predict_in_batches(predict, images, sizes)["none"]) == len(images)
        assert tuple(asked[: len(sizes)]) == sizes


def test_compare_measures_maximum_mean_and_disagreements() -> None:
    left = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    right = np.array([[0.7, 0.3], [0.6, 0.4]], np.float32)
    parity = compare_classes(answers(left), answers(right))
    assert parity.max_difference == pytest.approx(0.4)
    assert parity.mean_difference == pytest.approx(0.3)
    assert (parity.samples, parity.disagreements) == (2, 1)


def test_a_truncated_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    convert(*load_checkpoint(checkpoint), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ExportError, match="is not an ONNX file"):
        OnnxPredictor(path)
