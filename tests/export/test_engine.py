"""Engines for one GPU: the exact command, what is published, what is refused. GPU and TensorRT are made up.

Neither can be had where the tests run; see tests/gpu_machine.py. All else is real.
"""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from export.config import Serving, to_text
from export.engine import Builder, build_engine
from export.errors import ExportError, RepositoryError
from export.repository import load_manifest, promote, publish, versions
from export.repository.policy import read_config
from export.repository.pull import pull
from export.repository.verification import check_hardware, verify
from tests.export.repository.samples import FACTS, tree
from tests.gpu_machine import GPU, set_up_gpus, set_up_trtexec
from tests.network_configs import classifier_config

MODEL = "sign_classifier"
SHAPES = {"min": "images:1x48x48x3", "opt": "images:64x48x48x3", "max": "images:64x48x48x3"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a GPU and TensorRT 10.13.3; the folder of its programs, and the present one is empty."""
    programs = tmp_path / "bin"
    set_up_gpus(programs, monkeypatch)
    set_up_trtexec(programs, monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return programs


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with version 1 in ONNX, the champion."""
    config = classifier_config(MODEL, 48, 43, Serving(64, threads=2, target="gpu", tensorrt=True))
    files = {"model.onnx": b"onnx", "warmup/images-48x48x3.bin": b"pixels"}
    shared = {"config.pbtxt": to_text(config), "labels.txt": "stop\n"}
    publish(tmp_path / "models", MODEL, files, shared, {**FACTS, "parity": {"samples": 3.0}, "tuning": {"x": 1}})
    promote(tmp_path / "models", MODEL, 1, "")
    return tmp_path / "models"


def test_the_command_for_tensorrt_10_and_11() -> None:
    onnx, plan, cache = Path("a/model.onnx"), Path("b/model.plan"), Path("c/timing.cache")
    common = [
        "--onnx=a/model.onnx",
        "--saveEngine=b/model.plan",
        "--minShapes=images:1x48x48x3",
        "--optShapes=images:64x48x48x3",
        "--maxShapes=images:64x48x48x3",
        "--timingCacheFile=c/timing.cache",
    ]
    ten = Builder(Path("/opt/trtexec"), "10.13.3").command(onnx, plan, SHAPES, cache)
    assert ten == ["/opt/trtexec", *common, "--stronglyTyped", "--skipInference"]
    eleven = Builder(Path("/opt/trtexec"), "11.1.0").command(onnx, plan, SHAPES, cache)
    assert eleven == ["/opt/trtexec", *common, "--skipInference"], "always strongly typed, and no flags of precision"
    package = Builder(None, "11.1.0").command(onnx, plan, SHAPES, cache)
    assert package[0] == sys.executable and package[-6:] == common and Path(package[2]).is_file()


def test_an_engine_is_the_next_version_of_the_same_model(machine: Path, place: Path) -> None:
    manifest = build_engine(place, MODEL, 1, say=lambda what: None)
    assert (manifest.version, manifest.built_for) == (
        2,
        {
            "gpu": "NVIDIA A100-SXM4-40GB",
            "compute_capability": "8.0",
            "driver": "570.86.15",
            "tensorrt": "10.13.3",
        },
    )
    assert manifest == load_manifest(place, MODEL, 2)
    assert manifest.source == FACTS["source"] and manifest.origin["version"] == 1
    assert manifest.parity == {} and manifest.tuning == {} and manifest.opset == 0, "those of the ONNX file"
    folder = tree(place / MODEL / "2")
    assert set(folder) == {
        "model.plan",
        "config.pbtxt",
        "labels.txt",
        "warmup/images-48x48x3.bin",
        "manifest.json",
    }
    assert folder["model.plan"] == b"engine"
    config = read_config(folder["config.pbtxt"], "")
    assert config.platform == "tensorrt_plan" and config.max_batch_size == 64
    assert not config.parameters and not config.HasField("optimization")
    said = (machine / "arguments").read_text()
    assert re.search(r"--onnx=\S+/model\.onnx .*--maxShapes=images:64x48x48x3 .*--stronglyTyped", said)
    assert Path("runs/tensorrt/NVIDIA-A100-SXM4-40GB-10.13.3.cache").read_text() == "timings"
    assert not any(check.problems for check in verify(place))


def test_promoting_it_changes_the_platform_and_going_back_changes_it_back(machine: Path, place: Path) -> None:
    build_engine(place, MODEL, 1, say=lambda what: None)
    path = place / MODEL / "config.pbtxt"
    assert read_config(path.read_bytes(), "").platform == "onnxruntime_onnx", "the champion is served as before"
    promote(place, MODEL, 2, "faster")
    assert read_config(path.read_bytes(), "").platform == "tensorrt_plan"
    promote(place, MODEL, 1, "back")
    assert read_config(path.read_bytes(), "").platform == "onnxruntime_onnx"


@pytest.mark.parametrize(
    ("gpu", "driver", "version", "reason"),
    [
        (("NVIDIA L4", "8.9"), "570.86.15", "101303", r"NVIDIA L4 \(compute capability 8.9\)"),
        (GPU, "535.10.1", "101303", "the older driver 535.10.1"),
        (GPU, "570.86.15", "110100", "TensorRT 11.1.0"),
    ],
)
def test_on_another_machine_it_is_refused_before_triton_sees_it(
    machine: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpu: tuple[str, str],
    driver: str,
    version: str,
    reason: str,
) -> None:
    build_engine(place, MODEL, 1, say=lambda what: None)
    promote(place, MODEL, 2, "faster")
    check_hardware(place)
    pull(place, tmp_path / "served", {MODEL: [2]})
    set_up_gpus(machine, monkeypatch, (GPU, gpu) if gpu != GPU else (gpu,), driver)
    set_up_trtexec(machine, monkeypatch, version)
    built = r"built for NVIDIA A100-SXM4-40GB with driver 570\.86\.15 and TensorRT 10\.13\.3"
    for refuse in (
        lambda: check_hardware(place),
        lambda: check_hardware(tmp_path / "served"),
        lambda: pull(place, tmp_path / "other", {MODEL: [2]}),
    ):
        with pytest.raises(
            RepositoryError, match=f"2 cannot run here: it was {built}, and this machine has .*{reason}"
        ):
            refuse()
    assert not (tmp_path / "other").exists()
    (found,) = [check for check in verify(place) if check.version == 2]
    assert len(found.problems) == 1 and re.search(reason, found.problems[0])
    pull(place, tmp_path / "other", {MODEL: [2]}, any_gpu=True)
    pull(place, tmp_path / "onnx", {MODEL: [1]})
    check_hardware(tmp_path / "onnx")


def test_a_newer_driver_runs_it(machine: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_engine(place, MODEL, 1, say=lambda what: None)
    promote(place, MODEL, 2, "faster")
    set_up_gpus(machine, monkeypatch, driver="580.1")
    check_hardware(place)


def test_a_machine_without_a_gpu_looks_after_it_and_does_not_serve_it(
    machine: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_engine(place, MODEL, 1, say=lambda what: None)
    promote(place, MODEL, 2, "faster")
    (machine / "nvidia-smi").unlink()
    monkeypatch.setenv("PATH", str(machine))
    (found,) = [check for check in verify(place) if check.version == 2]
    assert not found.problems and "no nvidia-smi" in found.notices[0]
    with pytest.raises(RepositoryError, match="no nvidia-smi"):
        check_hardware(place)


def test_without_a_gpu_it_says_where_to_run(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExportError, match=r"there is no nvidia-smi\. .*run it on the machine that is to serve"):
        build_engine(place, MODEL, 1)


def test_a_driver_that_does_not_answer_is_reported(machine: Path, place: Path) -> None:
    said = "Failed to initialize NVML: Driver/library version mismatch"
    (machine / "nvidia-smi").write_text(f"#!/bin/sh\necho '{said}'\nexit 18\n")
    with pytest.raises(ExportError, match=r"does not answer \(nvidia-smi: Failed to initialize NVML"):
        build_engine(place, MODEL, 1)


def test_without_tensorrt_it_says_what_to_install(machine: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "trtexec").unlink()
    monkeypatch.setattr("export.repository.hardware.TRTEXEC", machine / "nowhere")
    with pytest.raises(ExportError, match=r"neither trtexec nor its Python package: .*pip install tensorrt"):
        build_engine(place, MODEL, 1)


def test_different_gpus_in_one_machine_are_refused(machine: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_gpus(machine, monkeypatch, (GPU, ("NVIDIA L4", "8.9")))
    with pytest.raises(ExportError, match=r"different GPUs \(NVIDIA A100-SXM4-40GB, NVIDIA L4\)"):
        build_engine(place, MODEL, 1)


def test_a_build_that_fails_shows_the_end_of_its_log_and_publishes_nothing(
    machine: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_trtexec(machine, monkeypatch, fails=True)
    before = tree(place)
    with pytest.raises(ExportError, match=r"exit code 1.*nothing was published") as failure:
        build_engine(place, MODEL, 1, say=lambda what: None)
    assert "Error[9]: no kernel for Conv_7" in str(failure.value) and "--saveEngine=" in str(failure.value)
    assert "line 29" in str(failure.value) and "line 3\n" not in str(failure.value)
    assert tree(place) == before


def test_an_engine_that_was_not_written_is_a_failure_too(machine: Path, place: Path) -> None:
    script = (machine / "trtexec").read_text().replace("printf 'engine'", "printf ''")
    (machine / "trtexec").write_text(script)
    with pytest.raises(ExportError, match="cannot compile"):
        build_engine(place, MODEL, 1, say=lambda what: None)
    assert versions(place, MODEL) == [1]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho hello\n", "does not say which TensorRT"),
        ("#!/bin/sh\necho '[TensorRT v8601]'\n", "TensorRT 8.6.1 is too old"),
        ("", "cannot be run"),
    ],
)
def test_what_is_no_trtexec_is_named(machine: Path, place: Path, script: str, reason: str) -> None:
    given = machine / "given"
    given.write_text(script)
    given.chmod(0o755 if script else 0o644)
    with pytest.raises(ExportError, match=reason):
        build_engine(place, MODEL, 1, trtexec=given)


def test_only_a_whole_version_in_onnx_is_compiled(machine: Path, place: Path) -> None:
    build_engine(place, MODEL, 1, say=lambda what: None)
    with pytest.raises(ExportError, match=r"sign_classifier 2 in .* is not in ONNX"):
        build_engine(place, MODEL, 2)
    with pytest.raises(RepositoryError, match="no version 9"):
        build_engine(place, MODEL, 9)
    (place / MODEL / "1" / "model.onnx").write_bytes(b"rotten")
    with pytest.raises(RepositoryError, match="is not the file that was published"):
        build_engine(place, MODEL, 1)


# What the Python package is asked for, written down; it answers as TensorRT 11 would.
_PACKAGE = """
import json, pathlib
__version__ = "11.1.0.106"
calls = []

class NetworkDefinitionCreationFlag:
    STRONGLY_TYPED = 0

class Logger:
    INFO = 0
    def __init__(self, level): pass

class Cache:
    def serialize(self): return b"timings"

class Config:
    def add_optimization_profile(self, profile): calls.append(["profile", profile.shapes])
    def create_timing_cache(self, content): calls.append(["cache", content.decode()]); return Cache()
    def set_timing_cache(self, cache, ignore_mismatch): calls.append(["ignore_mismatch", ignore_mismatch])
    def get_timing_cache(self): return Cache()

class Profile:
    def __init__(self): self.shapes = {}
    def set_shape(self, name, *shapes): self.shapes[name] = shapes

class Builder:
    def __init__(self, logger): pass
    def create_network(self, flags): calls.append(["flags", flags]); return object()
    def create_builder_config(self): return Config()
    def create_optimization_profile(self): return Profile()
    def build_serialized_network(self, network, config):
        pathlib.Path(__file__).with_name("calls.json").write_text(json.dumps(calls))
        return b"engine"

class OnnxParser:
    num_errors = 1
    def __init__(self, network, logger): pass
    def get_error(self, index): return "In node 7: no importer for operator Strange"
    def parse_from_file(self, path): return pathlib.Path(path).read_bytes() == b"onnx"
"""


def test_without_trtexec_the_python_package_compiles(
    machine: Path, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (machine / "trtexec").unlink()
    monkeypatch.setattr("export.repository.hardware.TRTEXEC", machine / "nowhere")
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tensorrt.py").write_text(_PACKAGE)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"), prepend=os.pathsep)
    manifest = build_engine(place, MODEL, 1, timing_cache=tmp_path / "deep" / "t.cache", say=lambda what: None)
    assert manifest.built_for["tensorrt"] == "11.1.0"
    assert (place / MODEL / "2" / "model.plan").read_bytes() == b"engine"
    assert (tmp_path / "deep" / "t.cache").read_bytes() == b"timings"
    assert json.loads((tmp_path / "packages" / "calls.json").read_text()) == [
        ["flags", 1],
        ["profile", {"images": [[1, 48, 48, 3], [64, 48, 48, 3], [64, 48, 48, 3]]}],
        ["cache", ""],
        ["ignore_mismatch", False],
    ]
    publish(place, MODEL, {"model.onnx": b"strange", "warmup/images-48x48x3.bin": b""}, shared_of(place), FACTS)
    with pytest.raises(ExportError, match="no importer for operator Strange"):
        build_engine(place, MODEL, 3, say=lambda what: None)


def shared_of(place: Path) -> dict[str, str]:
    return {name: (place / MODEL / "1" / name).read_text() for name in ("config.pbtxt", "labels.txt")}
