"""Files run on the device that is asked for, or the reason why not is said with its fix; never on another one.

What a GPU does is tested where there is one. What is missing on the way there is made up: ONNX Runtime's build for CPUs
is installed here.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from export import devices
from export.devices import CPU, CUDA, open_session, providers_for, require_device
from export.errors import ExportError, RepositoryError
from export.predictor import OnnxPredictor
from export.recheck_parity import compare_version
from export.repository import Manifest
from export.repository.hardware import Gpu
from tests.fixture_types import Signs


def why_no_gpu() -> str:
    """Returns why files cannot run on a GPU here; empty where they can."""
    try:
        providers_for("cuda")
    except ExportError as error:
        return str(error)
    return ""


on_gpu = pytest.mark.skipif(bool(why_no_gpu()), reason=f"no GPU to run files on: {why_no_gpu()}")


def no_gpu() -> list[Gpu]:
    raise RepositoryError("this machine has no NVIDIA GPU that can be seen")


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The build of ONNX Runtime for GPUs, with all its libraries, on a machine with a GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "set_default_logger_severity", lambda _: None)
    monkeypatch.setattr(devices, "gpus", lambda: [Gpu("NVIDIA L4", "8.9", "580.1")])
    return monkeypatch


def test_the_cpu_is_always_there() -> None:
    assert providers_for("cpu") == [CPU]


def test_another_device_is_refused() -> None:
    with pytest.raises(ExportError, match="no device 'tpu': choose cpu or cuda"):
        providers_for("tpu")


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is installed")
def test_the_build_for_cpus_names_what_to_install(
    repository: Path, manifest: Manifest, checkpoint: Path, signs: Signs, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = repository / manifest.model / str(manifest.version)
    command = ("export", "parity", version, "--checkpoint", checkpoint, "--device", "cuda")
    monkeypatch.setattr(devices, "gpus", no_gpu)
    code, output, error = signs(*command)
    assert (code, output) == (1, "") and "no NVIDIA GPU that can be seen: leave out --device cuda" in error
    monkeypatch.setattr(devices, "gpus", lambda: [Gpu("NVIDIA L4", "8.9", "580.1")])
    code, output, error = signs(*command)
    assert (code, output) == (1, "")
    assert "installed here is onnxruntime " in error
    assert "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'" in error


def test_libraries_that_are_missing_are_named(gpu_build: pytest.MonkeyPatch) -> None:
    def preload() -> None:
        print("Failed to load libcublasLt.so.13: cannot open shared object file")
        print("Failed to load libcudnn.so.9: cannot open shared object file")

    gpu_build.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    with pytest.raises(ExportError, match=r"finds no libcublasLt\.so\.13, libcudnn\.so\.9: pip uninstall"):
        providers_for("cuda")
    gpu_build.setattr(devices, "gpus", no_gpu)
    with pytest.raises(ExportError, match="no NVIDIA GPU that can be seen: leave out --device cuda"):
        providers_for("cuda")


def test_tf32_is_off(gpu_build: pytest.MonkeyPatch) -> None:
    assert providers_for("cuda") == [(CUDA, {"use_tf32": "0"})]


def test_a_file_that_ran_on_the_cpu_instead_is_refused(gpu_build: pytest.MonkeyPatch, classifier_onnx: Path) -> None:
    """ONNX Runtime's build for CPUs falls back as that for GPUs does where it finds no driver: with a warning."""
    session = open_session(classifier_onnx)
    with pytest.raises(ExportError, match="take a newer driver"):
        require_device(session, "cuda")
    gpu_build.setattr(devices, "gpus", no_gpu)
    with pytest.raises(ExportError, match="leave out --device cuda"):
        require_device(session, "cuda")


def test_a_server_chooses_its_own_device(signs: Signs, tmp_path: Path) -> None:
    for command in (
        ("evaluate", "--url", "localhost:1", "--data", "gtsdb=x", "--device", "cuda"),
        ("evaluate", "x", "--data", "gtsdb=x", "--device", "tpu"),
        ("export", "parity", tmp_path, "--checkpoint", "x", "--url", "localhost:1", "--device", "cuda"),
    ):
        code, _, error = signs(*command)
        assert code == 2 and "--device" in error


@on_gpu
def test_on_a_gpu_the_answers_are_those_of_the_cpu(classifier_onnx: Path, random_crops: npt.NDArray[np.uint8]) -> None:
    on_cpu, on_cuda = (OnnxPredictor(classifier_onnx, each)(random_crops)["probabilities"] for each in ("cpu", "cuda"))
    assert np.abs(on_cpu - on_cuda).max() < 1e-5


@on_gpu
def test_parity_holds_on_a_gpu(
    repository: Path, manifest: Manifest, checkpoint: Path, random_crops: npt.NDArray[np.uint8]
) -> None:
    figures = compare_version(
        repository / manifest.model / str(manifest.version), checkpoint, random_crops, device="cuda"
    )
    assert figures["device"] == "cuda" and figures["max_difference"] < 1e-5
