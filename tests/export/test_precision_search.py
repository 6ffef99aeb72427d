"""Each precision must prove itself; the fastest that has is taken."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper

from export.detection_parity import read_detections
from export.errors import AccuracyError, ExportError, ParityError
from export.parity import Parity, probe_images
from export.precision import FP16, FP32, INT8
from export.precision_search import Candidate, fastest, make_all, make_candidate, timed
from export.predictor import OnnxPredictor, TorchPredictor
from export.proof import Proof, Proven
from export.samples import Labels
from export.speed import Speed, measure_speeds
from traffic_signs.classes import NUM_CLASSES
from training.checkpoint import load_checkpoint
from training.detector.detections import Detections

pytestmark = pytest.mark.kernels

Crops = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def labels(random_crops: Crops) -> Labels:
    """The classes that the network has learned."""
    return Labels(np.arange(len(random_crops)) % NUM_CLASSES, random_crops[:16], "blocks")


@pytest.fixture(scope="module")
def proof(checkpoint: Path, random_crops: Crops, labels: Labels) -> Proof:
    return Proof(TorchPredictor(*load_checkpoint(checkpoint)), random_crops, labels, max_loss=0.05)


def test_all_three_precisions_are_made_proven_and_timed(
    classifier_onnx: Path, proof: Proof, labels: Labels, random_crops: Crops
) -> None:
    tried = probe_images(random_crops[:2], noises=2)
    candidates = timed(
        make_all(lambda each: make_candidate(classifier_onnx, each, proof, tried, labels, "cpu"), classifier_onnx),
        tried,
        64,
    )
    assert [each.precision for each in candidates] == [FP32, FP16, INT8]
    sizes = [each.size for each in candidates]
    assert sizes == sorted(sizes, reverse=True)
    for each in candidates:
        assert not each.problem and each.proven is not None and each.proven.accuracy is not None
        assert each.proven.accuracy.fp32 == 1.0 and each.proven.accuracy.samples == len(random_crops)
        assert each.speed is not None and (each.speed.ratio == 1.0 or each.precision != FP32)
        assert each.speed.batch == 64 and each.speed.images_per_second > 0
    assert candidates[0].proven is not None and candidates[0].proven.parity.disagreements == 0


def test_without_labels_int8_is_left_out_and_the_others_are_there(
    classifier_onnx: Path, checkpoint: Path, random_crops: Crops
) -> None:
    proof = Proof(TorchPredictor(*load_checkpoint(checkpoint)), random_crops[:8], None, max_loss=0.0)
    candidates = make_all(
        lambda each: make_candidate(classifier_onnx, each, proof, random_crops[:2], None, "cpu"), classifier_onnx
    )
    assert [bool(each.problem) for each in candidates] == [False, False, True]
    assert "give them with --data" in candidates[2].problem
    assert candidates[1].proven is not None and candidates[1].proven.accuracy is None


@pytest.fixture(scope="module")
def one_unsure(random_crops: Crops) -> Crops:
    """The crops, the first of them mixed with the second: the network is less sure of its class than of all others."""
    crops = random_crops.copy()
    crops[0] = 0.75 * random_crops[0] + 0.25 * random_crops[1]
    return crops


@pytest.fixture
def one_mistake(classifier_onnx: Path, tmp_path: Path, one_unsure: Crops) -> Path:
    """The classifier with a bias just so large that the unsure crop is taken for its second class."""
    logits = np.log(OnnxPredictor(classifier_onnx)(one_unsure[:1])["probabilities"])[0]
    second, first = np.argsort(logits)[-2:]
    model = onnx.load(classifier_onnx)
    (gemm,) = (node for node in model.graph.node if node.op_type == "Gemm")
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == gemm.input[2])
    values = numpy_helper.to_array(bias).copy()
    values[second] += 1.1 * (logits[first] - logits[second])
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, tmp_path / "mistaken.onnx")
    return tmp_path / "mistaken.onnx"


def test_a_loss_of_accuracy_beyond_the_limit_is_refused_with_both_figures(
    checkpoint: Path, one_unsure: Crops, labels: Labels, one_mistake: Path
) -> None:
    network = TorchPredictor(*load_checkpoint(checkpoint))
    with pytest.raises(
        AccuracyError, match=r"in int8 .* accuracy is 98\.75%, in fp32 100\.00% \(on 80 test images of blocks\).*0\.20%"
    ):
        Proof(network, one_unsure, labels, max_loss=0.002).check(one_mistake, INT8)
    proven = Proof(network, one_unsure, labels, max_loss=1 / 80 + 1e-9).check(one_mistake, INT8)
    assert proven.accuracy is not None and proven.accuracy.loss == pytest.approx(1 / 80)
    assert proven.parity.disagreements == 1


def test_in_fp32_not_one_image_may_change(
    checkpoint: Path, one_unsure: Crops, labels: Labels, one_mistake: Path
) -> None:
    with pytest.raises(ParityError, match=r"1 of 80 real images"):
        Proof(TorchPredictor(*load_checkpoint(checkpoint)), one_unsure, labels, max_loss=1.0).check(one_mistake, FP32)


def test_a_detector_is_evaluated_by_map50_on_all_scenes(detector_checkpoint: Path, detector_onnx: Path) -> None:
    network = TorchPredictor(*load_checkpoint(detector_checkpoint))
    blocks = np.random.default_rng(2).integers(0, 256, (18, 12, 20, 3), dtype=np.uint8)
    scenes = blocks.repeat(8, axis=1).repeat(8, axis=2)
    found = read_detections(network(scenes))
    truth = tuple(
        Detections(each.boxes[:3], np.ones(len(each.boxes[:3]), np.float32), each.labels[:3]) for each in found
    )
    seen: list[tuple[str, int, int]] = []
    proof = Proof(
        network, scenes, Labels(truth, scenes[:2], "blocks"), 0.01, progress=lambda *reported: seen.append(reported)
    )
    proven = proof.check(detector_onnx, FP32)
    assert proven.real == 16 and proven.parity.samples > 16, "parity is proved on the first scenes alone"
    assert proven.accuracy is not None and (proven.accuracy.measure, proven.accuracy.samples) == ("map50", 18)
    assert proven.accuracy.exported == pytest.approx(proven.accuracy.fp32, abs=1e-6) and proven.accuracy.fp32 > 0
    assert {reported[0] for reported in seen} == {"scenes in PyTorch", "scenes in fp32"}


def candidate(precision: str, ratio: float, problem: str = "", worst: float = 0.0) -> Candidate:
    proven = Proven(Parity(1, 0.0, 0.0, 0), 1)
    speed = None if problem else Speed(100 * ratio, ratio, worst or ratio, 64, "CPUExecutionProvider")
    return Candidate(precision, Path("x"), 1, 1, None if problem else proven, problem, speed)


@pytest.mark.parametrize(
    ("fp16", "int8", "taken"),
    [
        (candidate(FP16, 0.9), candidate(INT8, 2.8), INT8),
        (candidate(FP16, 1.9), candidate(INT8, 1.2), FP16),
        (candidate(FP16, 1.09), candidate(INT8, 1.0), FP32),
        (candidate(FP16, 1.3, worst=0.9), candidate(INT8, 1.2, worst=1.01), INT8),
        (candidate(FP16, 0.9), candidate(INT8, 9.0, problem="it loses too much"), FP32),
    ],
)
def test_the_fastest_that_is_right_is_taken(fp16: Candidate, int8: Candidate, taken: str) -> None:
    candidates = [candidate(FP32, 1.0), fp16, int8]
    assert fastest(candidates).precision == taken
    assert [each.as_dict()["precision"] for each in candidates] == [FP32, FP16, INT8]


def test_a_network_that_is_wrong_in_fp32_is_no_candidate_at_all() -> None:
    def make(precision: str) -> Candidate:
        raise ParityError("it differs")

    with pytest.raises(ParityError):
        make_all(make, Path("x"))


def test_speeds_are_compared_with_the_first(classifier_onnx: Path, random_crops: Crops) -> None:
    reported: list[tuple[str, int, int]] = []
    speeds = measure_speeds(
        {"a": classifier_onnx, "b": classifier_onnx}, random_crops[:2], 1, lambda *each: reported.append(each)
    )
    assert speeds["a"].ratio == 1.0 and speeds["b"].ratio > 0 and speeds["a"].batch == 2
    assert reported == [("timing rounds", 1, 1)]


def test_what_onnx_runtime_cannot_load_is_not_timed(tmp_path: Path, random_crops: Crops) -> None:
    (tmp_path / "x.onnx").write_bytes(b"x")
    with pytest.raises(ExportError, match="cannot load"):
        measure_speeds({"a": tmp_path / "x.onnx"}, random_crops)
