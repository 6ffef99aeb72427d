"""`signs export onnx` and `signs export parity` as people and scripts call them."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from export import precision_search
from export.errors import ExportError
from export.quantization import quantize
from export.recheck_parity import compare_version
from export.repository import Manifest, versions
from export.repository.comparison import compare_versions
from export.repository.signing import check_signature
from tests.fixture_types import Signs
from training.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.kernels

Crops = npt.NDArray[np.uint8]


@pytest.fixture
def signs(signs: Signs) -> Signs:
    """Runs `signs export ...`."""
    return functools.partial(signs, "export")


def test_int8_is_calibrated_evaluated_signed_and_described(
    signs: Signs, checkpoint: Path, tiny_data: str, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    nothing = serialization.NoEncryption()
    pem, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, nothing))
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(pem, public))

    assert signs("onnx", checkpoint)[0] == 0
    code, out, err = signs(
        "onnx", checkpoint, "--data", tiny_data, "--precision", "int8", "--private-key", "key.pem", "--json"
    )

    assert code == 0, err
    manifest = json.loads(out)
    assert (manifest["version"], manifest["precision"], manifest["int8"]["precision"]) == (2, "fp32", "int8")
    assert manifest["parity"]["tolerance"] == 1e-4
    assert manifest["calibration"] == {"data": "gtsdb=FullIJCNN2013", "split": "train", "samples": 8, "for": "cpu"}
    accuracy = manifest["int8"]["accuracy"]
    assert (accuracy["measure"], accuracy["split"], accuracy["samples"]) == ("accuracy", "test", 3)
    assert accuracy["loss"] == accuracy["fp32"] - accuracy["exported"] <= 0.002
    parity = manifest["int8"]["parity"]
    assert parity["real_samples"] == parity["samples"] == 3 and 0 < parity["mean_difference"] < parity["max_difference"]
    assert parity["tolerance"] == 0.5
    graph = manifest["graph"]
    assert graph["nodes"] == graph["slim_nodes"] < graph["traced_nodes"]
    folder = tmp_path / "model_repository" / "sign_classifier" / "2"
    model = onnx.load(folder / "model.int8.onnx")
    assert {entry.key: entry.value for entry in model.metadata_props}["precision"] == "int8"
    assert len(model.graph.node) > graph["nodes"], "Q/DQ pairs"
    assert (folder / "model.onnx").read_bytes() == (folder.parent / "1" / "model.onnx").read_bytes()
    assert (folder / "model.gpu.onnx").read_bytes() == (folder.parent / "1" / "model.gpu.onnx").read_bytes()
    check_signature(folder, tmp_path / "key.pub")
    code, out, _ = signs("parity", folder, "--checkpoint", checkpoint)
    assert code == 0 and "int8 file, not compared: give real images with --data" in out
    code, out, _ = signs("parity", folder, "--checkpoint", checkpoint, "--data", tiny_data, "--json")
    assert code == 0 and json.loads(out)["int8"]["tolerance"] == 0.5 > json.loads(out)["int8"]["max_difference"] > 0
    assert signs("onnx", checkpoint, "--precision", "int8", "--data", tiny_data, "--if-new")[1].startswith(
        "published already: sign_classifier 2"
    )
    code, out, err = signs("onnx", checkpoint, "--precision", "int8", "--data", tiny_data)
    assert code == 0 and "int8 file for CPUs: " in out, err

    rows = {row.name: row for row in compare_versions(tmp_path / "model_repository", "sign_classifier", 1, 2)}
    assert (
        rows["int8.accuracy.exported"].second == accuracy["exported"] and rows["int8.accuracy.exported"].first is None
    )
    assert {"calibration.samples", "int8.parity.mean_difference", "files.model.int8.onnx"} <= set(rows)


def test_int8_for_tensorrt_takes_the_place_of_fp32(
    signs: Signs, checkpoint: Path, tiny_data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph for CPUs stands in for the one for TensorRT, which is inexact on a CPU without VNNI."""
    monkeypatch.setattr(precision_search, "quantize", lambda model, calibration, target: quantize(model, calibration))
    wanted = ("--data", tiny_data, "--precision", "int8", "--target", "gpu")
    code, out, err = signs("onnx", checkpoint, *wanted, "--int8-for", "tensorrt", "--max-accuracy-loss", "1", "--json")
    assert code == 0, err
    manifest = json.loads(out)
    assert (manifest["precision"], manifest["int8"]) == ("int8", {}) and "model.int8.onnx" not in manifest["files"]


def test_an_export_that_is_asked_for_again_is_done_once(signs: Signs, checkpoint: Path, tmp_path: Path) -> None:
    manifests = [json.loads(signs("onnx", checkpoint, "--if-new", "--json")[1]) for _ in range(2)]
    assert [each["version"] for each in manifests] == [1, 1] and manifests[0] == manifests[1]
    assert json.loads(signs("onnx", checkpoint, "--if-new", "--precision", "fp16", "--json")[1])["version"] == 2
    assert versions(tmp_path / "model_repository", "sign_classifier") == [1, 2]


def test_auto_shows_what_it_chose_among(signs: Signs, checkpoint: Path) -> None:
    code, out, err = signs("onnx", checkpoint, "--precision", "auto")
    assert code == 0, err
    first = [line.split()[0] for line in out.splitlines()[:4]]
    assert first == ["precision", "fp32", "fp16", "int8"] and out.count("(taken)") == 1
    assert "int8 left out: int8 is calibrated on training images" in out
    assert "timed on this machine's CPU in ONNX Runtime, in turn, batch 64" in out
    assert "largest difference" in out and ", mean " in out and "published: model_repository/sign_classifier/1" in out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--precision", "int8"), "give them with --data"),
        (("--precision", "int8", "--data", "x", "--target", "gpu"), "leave out --target gpu, or name --int8-for tens"),
        (("--precision", "fp16", "--int8-for", "tensorrt"), "leave out --int8-for"),
        (("--precision", "fp16", "--max-accuracy-loss", "0.1"), "on labelled test images of --data"),
        (("--data", "x", "--max-accuracy-loss", "0.1"), "is measured in fp16, int8 and auto"),
        (("--precision", "int8", "--data", "nowhere"), "names no data set"),
        (("--private-key", "nowhere.pem"), "nowhere.pem cannot sign"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    signs: Signs, checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    code, out, err = signs("onnx", checkpoint, *arguments)
    assert (code, out) == (1, "") and err.startswith("signs: ") and reason in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_version_is_compared_with_its_checkpoint_again(
    signs: Signs, manifest: Manifest, repository: Path, checkpoint: Path
) -> None:
    version = repository / manifest.model / str(manifest.version)
    code, out, err = signs("parity", version, "--checkpoint", checkpoint, "--json")
    assert code == 0, err
    figures = json.loads(out)
    assert figures["max_difference"] <= figures["tolerance"] == 1e-4 and figures["real_samples"] == 0
    code, out, _ = signs("parity", version, "--checkpoint", checkpoint)
    assert code == 0 and out.startswith("parity: 72 images (0 real), largest difference")


def test_another_checkpoint_or_no_version_is_refused(
    signs: Signs, manifest: Manifest, repository: Path, checkpoint: Path, tmp_path: Path
) -> None:
    version = repository / manifest.model / str(manifest.version)
    model, info = load_checkpoint(checkpoint)
    with torch.no_grad():
        model.get_parameter("backbone.head.bias").add_(1.0)
    save_checkpoint(tmp_path / "other", model, info)
    code, _, err = signs("parity", version, "--checkpoint", tmp_path / "other")
    assert code == 1 and "was exported from other weights" in err
    code, _, err = signs("parity", tmp_path, "--checkpoint", checkpoint)
    assert code == 1 and "give the folder of a version" in err
    shutil.copytree(version, tmp_path / "1")
    (tmp_path / "1" / "model.onnx").write_bytes(b"x")
    code, _, err = signs("parity", tmp_path / "1", "--checkpoint", checkpoint)
    assert code == 1 and "not the file that was published" in err


def test_a_detector_is_compared_again(detector_checkpoint: Path, signs: Signs, tmp_path: Path, tiny_data: str) -> None:
    code, _, err = signs("onnx", detector_checkpoint, "--data", tiny_data)
    assert code == 0, err
    version = tmp_path / "model_repository" / "sign_detector" / "1"
    assert versions(tmp_path / "model_repository", "sign_detector") == [1]
    code, out, err = signs("parity", version, "--checkpoint", detector_checkpoint, "--data", tiny_data, "--json")
    assert code == 0, err
    assert json.loads(out)["real_samples"] == 2 and json.loads(out)["max_box_difference"] <= 0.05


def test_a_server_that_is_not_there_is_named(
    manifest: Manifest, repository: Path, checkpoint: Path, random_crops: Crops
) -> None:
    version = repository / manifest.model / str(manifest.version)
    with pytest.raises(ExportError, match=r"127\.0\.0\.1:9 did not answer for sign_classifier 1 .* gRPC port"):
        compare_version(version, checkpoint, random_crops[:2], "127.0.0.1:9")
