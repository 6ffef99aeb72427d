"""The file for GPUs: a fixed batch inside, any batch outside, the same answers, and weights that are stored once."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.devices import open_session
from export.errors import ExportError, RepositoryError
from export.fixed_batch import fix_batch, require_fixed, share_weights
from export.predictor import OnnxPredictor
from export.repository import Manifest
from export.repository.manifest import GPU_FILE, MODEL_FILE
from export.repository.onnx_file import check_onnx
from export.run import export_checkpoint
from training.checkpoint import load_info

MODEL = "sign_classifier"


@pytest.fixture
def network(repository: Path, manifest: Manifest) -> onnx.ModelProto:
    """The classifier as it is published for CPUs."""
    return onnx.load(repository / MODEL / "1" / MODEL_FILE)


def copy_version(repository: Path, folder: Path) -> Path:
    """Copies what `check_onnx` looks at."""
    source = repository / MODEL / "1"
    (folder / "configs").mkdir(parents=True)
    for name in (MODEL_FILE, GPU_FILE, "config.pbtxt", "labels.txt", "configs/gpu.pbtxt"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


@pytest.mark.parametrize("sizes", [(8,), (2, 8), (1, 4, 16)])
def test_every_batch_up_to_the_largest_is_answered_as_before(
    network: onnx.ModelProto, sizes: tuple[int, ...], random_crops: npt.NDArray[np.uint8]
) -> None:
    plain, fixed = (open_session(model.SerializeToString()) for model in (network, fix_batch(network, sizes)))
    for count in sorted({1, 2, 3, sizes[-1] - 1, sizes[-1]}):
        images = random_crops[:count]
        expected, found = (session.run(None, {"images": images})[0] for session in (plain, fixed))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(Exception, match="Shape"):
        fixed.run(None, {"images": random_crops[: sizes[-1] + 1]})


def test_a_convolution_without_a_fixed_batch_is_refused(network: onnx.ModelProto) -> None:
    with pytest.raises(ExportError, match=r"convolution .* has a batch of any size, not of 64.*--target cpu"):
        require_fixed(network, (64,))
    with pytest.raises(ExportError, match="has a batch of 64, not of 8 or 32"):
        require_fixed(fix_batch(network, (64,)), (8, 32))


def test_a_network_without_convolutions_needs_no_search_and_passes(random_crops: npt.NDArray[np.uint8]) -> None:
    weights = np.random.default_rng(0).normal(size=(6912, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, kind, ["batch", *sizes])
        for name, kind, sizes in (("images", TensorProto.UINT8, (48, 48, 3)), ("scores", TensorProto.FLOAT, (3,)))
    ]
    graph = helper.make_graph(nodes, "linear", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    sessions = [open_session(model.SerializeToString()) for model in (plain, fix_batch(plain, (4,)))]
    expected, found = (session.run(None, {"images": random_crops[:3]})[0] for session in sessions)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_file_for_gpus_is_evaluated_in_its_own_batches(
    network: onnx.ModelProto, tmp_path: Path, random_crops: npt.NDArray[np.uint8]
) -> None:
    for name, model in ((MODEL_FILE, network), (GPU_FILE, fix_batch(network, (2, 8)))):
        onnx.save(model, tmp_path / name)
    plain, fixed = (OnnxPredictor(tmp_path / name) for name in (MODEL_FILE, GPU_FILE))
    assert (plain.max_batch, fixed.max_batch) == (64, 8)
    expected, found = (predict(random_crops)["probabilities"] for predict in (plain, fixed))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_are_taken_out_of_the_other_file(
    network: onnx.ModelProto, tmp_path: Path, random_crops: npt.NDArray[np.uint8]
) -> None:
    other = network.SerializeToString()
    (tmp_path / MODEL_FILE).write_bytes(other)
    fixed = fix_batch(network, (8,))
    whole = len(fixed.SerializeToString())
    share_weights(fixed, other, MODEL_FILE)
    onnx.save(fixed, tmp_path / GPU_FILE)
    assert (tmp_path / GPU_FILE).stat().st_size < whole / 20
    onnx.checker.check_model(tmp_path / GPU_FILE)
    expected = open_session(tmp_path / MODEL_FILE).run(None, {"images": random_crops[:5]})[0]
    found = open_session(tmp_path / GPU_FILE).run(None, {"images": random_crops[:5]})[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_that_the_other_file_lacks_stay(network: onnx.ModelProto) -> None:
    fixed = fix_batch(network, (8,))
    before = fixed.SerializeToString()
    share_weights(fixed, b"something else", MODEL_FILE)
    assert fixed.SerializeToString() == before


def test_an_export_has_both_files_proven(repository: Path, manifest: Manifest) -> None:
    assert manifest.gpu["fixed_batches"] == [64] and manifest.gpu["file"] == GPU_FILE
    assert manifest.gpu["parity"]["max_difference"] <= manifest.gpu["parity"]["tolerance"]
    assert manifest.files[GPU_FILE]["size"] < manifest.files[MODEL_FILE]["size"] / 20
    check_onnx(repository / MODEL / "1", "here")


def test_a_detector_has_a_branch_for_one_scene(detector_checkpoint: Path, tmp_path: Path) -> None:
    height, width = load_info(detector_checkpoint).input_size
    scenes = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    manifest = export_checkpoint(detector_checkpoint, tmp_path, scenes[:0])
    folder = tmp_path / "sign_detector" / "1"
    assert manifest.gpu["fixed_batches"] == [1, 4]
    sessions: list[onnxruntime.InferenceSession] = [open_session(folder / name) for name in (MODEL_FILE, GPU_FILE)]
    for count in (1, 2, 3):
        expected, found = (session.run(["scores"], {"scenes": scenes[:count]})[0] for session in sessions)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_batch_larger_than_the_fixed_one_is_refused(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    folder = copy_version(repository, tmp_path / "version")
    config = folder / "configs" / "gpu.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 64", "max_batch_size: 65"))
    with pytest.raises(RepositoryError, match=r"64.*gpu\.pbtxt.*65"):
        check_onnx(folder, "here")


def test_files_of_two_networks_are_refused(
    repository: Path, manifest: Manifest, network: onnx.ModelProto, tmp_path: Path
) -> None:
    folder = copy_version(repository, tmp_path / "version")
    largest = max(network.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data = bytes(len(largest.raw_data))
    onnx.save(network, folder / MODEL_FILE)
    check_onnx(folder, "here")  # of the same size, so the weights are where they were: only others
    network.producer_name += " of another length"
    onnx.save(network, folder / MODEL_FILE)
    with pytest.raises(RepositoryError, match=r"weights.*model\.onnx"):
        check_onnx(folder, "here")


def test_a_file_for_gpus_with_other_weights_of_its_own_is_refused(
    repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    # The bias of the last layer is too small to be shared; and a file may hold all of its weights itself.
    for name, part in ((MODEL_FILE, "head.bias"), (GPU_FILE, "weight")):
        folder = copy_version(repository, tmp_path / name)
        model = onnx.load(folder / name)
        tensors = [each for each in model.graph.initializer if each.name.endswith(part)]
        largest = max(tensors, key=lambda tensor: len(tensor.raw_data))
        largest.raw_data = bytes(len(largest.raw_data))
        onnx.save(model, folder / name)
        with pytest.raises(RepositoryError, match=f"it is of another network than model.onnx, whose .*{part} is"):
            check_onnx(folder, "here")


def test_a_configuration_without_its_file_is_refused(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    folder = copy_version(repository, tmp_path / "version")
    (folder / GPU_FILE).unlink()
    with pytest.raises(RepositoryError, match=r"model\.gpu\.onnx.*gpu\.pbtxt"):
        check_onnx(folder, "here")
