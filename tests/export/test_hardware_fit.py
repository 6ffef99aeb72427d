"""Which configuration a server takes, by what it has. GPUs are made up: a script answers as nvidia-smi does."""

import shutil
from pathlib import Path

import pytest

from export import hardware_fit
from export.errors import RepositoryError
from export.hardware_fit import (
    CORES,
    check_tensorrt,
    choose_configuration,
    configurations,
    find_fit,
    main,
    name_for,
    share_out,
)
from export.repository import Manifest
from export.repository.verification import check_hardware
from serving.errors import ServingError
from serving.install import Installation
from serving.server import grpc_thread_arguments
from tests.fixture_types import Signs
from tests.gpu_machine import GPU, set_up_gpus

STAND_IN = Installation(Path("tritonserver"), {}, [], "tritonserver 2.51.0 (wheel)", has_standin=True)
NAMED = ("--configuration", "cpu-2")
NATIVE = Installation(Path("/opt/tritonserver/bin/tritonserver"), {}, [], "tritonserver at /opt/tritonserver/bin")


@pytest.mark.parametrize(
    ("cores", "name"),
    [
        *((1, "cpu-2"), (2, "cpu-2"), (3, "cpu-4"), (4, "cpu-4"), (5, "cpu-4"), (6, "cpu-8"), (11, "cpu-8")),
        *((12, "cpu-16"), (23, "cpu-16"), (24, "cpu-32"), (32, "cpu-32"), (48, "cpu-64"), (128, "cpu-64")),
    ],
)
def test_the_name_follows_the_cores(cores: int, name: str) -> None:
    assert name_for(cores) == name


@pytest.mark.parametrize("cores", CORES)
def test_instances_and_threads_are_the_cores(cores: int) -> None:
    instances, threads = share_out(cores)
    assert instances * threads == cores


@pytest.fixture
def int8_models(int8_repository: Path, tmp_path: Path) -> Path:
    """A repository whose classifier has an int8 file."""
    return shutil.copytree(int8_repository, tmp_path / "int8_models")


def set_up_cpu(flags: str, folder: Path, monkeypatch: pytest.MonkeyPatch, cores: int = 4) -> None:
    """Makes the machine's CPU one with these flags."""
    folder.mkdir(exist_ok=True)
    (folder / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: vnni avx2\nflags\t\t: fpu {flags} sse2\n")
    monkeypatch.setattr(hardware_fit, "CPU_INFO", folder / "cpuinfo")
    monkeypatch.setattr(hardware_fit, "usable_cores", lambda: cores)


@pytest.mark.parametrize(
    ("flags", "cores", "name", "reason"),
    [
        (
            "avx2 avx512_vnni",
            2,
            "cpu-int8-2",
            "2 cores and no GPU; int8 is up to 2.7 times as fast as fp32 on a CPU with VNNI",
        ),
        ("avx2 avx_vnni", 6, "cpu-int8-8", "on a CPU with VNNI"),
        ("avx2", 4, "cpu-int8-4", "4 cores and no GPU; int8 is up to 1.8 times as fast as fp32 on a CPU with AVX2"),
        ("avx", 4, "cpu-4", "4 cores and no GPU"),
    ],
)
def test_int8_is_taken_where_the_cpu_gains_by_it(
    int8_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    flags: str,
    cores: int,
    name: str,
    reason: str,
) -> None:
    set_up_cpu(flags, tmp_path, monkeypatch, cores)
    fit = choose_configuration(int8_models, STAND_IN, "")
    assert fit.name == name and fit.reason.endswith(reason)
    assert choose_configuration(int8_models, STAND_IN, "cpu-2").name == "cpu-2", "the way to fp32"
    assert choose_configuration(int8_models, STAND_IN, "cpu-int8-4").name == "cpu-int8-4", "on any CPU, if asked for"
    main(int8_models)
    assert capsys.readouterr().out == f"{name}\n"


def test_models_that_cannot_be_read_are_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^signs: there is no repository at .*nowhere: check the path"):
        main(tmp_path / "nowhere")


def test_a_cpu_that_says_nothing_gets_fp32(int8_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "nowhere", tmp_path / "arm"):
        (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n")
        monkeypatch.setattr(hardware_fit, "CPU_INFO", path)
        assert not find_fit(False, configurations(int8_models)).name.startswith("cpu-int8")


def test_int8_is_taken_only_with_a_file_and_for_no_model_at_the_price_of_its_cores(
    repository: Path, manifest: Manifest, int8_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_cpu("avx2", tmp_path, monkeypatch)
    assert choose_configuration(repository, STAND_IN, "").name == "cpu-4"
    for cores in (2, 4):
        reason = rf"no model has an int8 file for --configuration cpu-int8-{cores}.* cpu-{cores}$"
        with pytest.raises(RepositoryError, match=reason):
            choose_configuration(repository, STAND_IN, f"cpu-int8-{cores}")
    shutil.copytree(repository / "sign_classifier", int8_models / "in_fp32")
    assert choose_configuration(int8_models, STAND_IN, "").name == "cpu-int8-4", "it has the same under that name"
    (int8_models / "in_fp32" / "configs" / "cpu-int8-4.pbtxt").unlink()
    fit = choose_configuration(int8_models, STAND_IN, "")
    assert fit.name == "cpu-4" and "but in_fp32 cannot be served beside it" in fit.reason
    with pytest.raises(RepositoryError, match=r"in_fp32 cannot be served beside it.* cpu-4$"):
        choose_configuration(int8_models, STAND_IN, "cpu-int8-4")
    (int8_models / "in_fp32" / "configs" / "cpu-4.pbtxt").unlink()  # as a tuned one: config.pbtxt is for all CPUs
    assert choose_configuration(int8_models, STAND_IN, "").name == "cpu-int8-4"


def test_a_gpu_is_preferred_where_the_server_can_use_it(
    repository: Path,
    manifest: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert choose_configuration(repository, NATIVE, "").name.startswith("cpu-")
    set_up_gpus(tmp_path / "bin", monkeypatch)
    assert choose_configuration(repository, NATIVE, "").name == "gpu"
    assert choose_configuration(repository, NATIVE, "cpu-4").gpu, "it is there, though not chosen"
    assert choose_configuration(repository, STAND_IN, "").name.startswith("cpu-")
    main(repository)
    printed = capsys.readouterr()
    assert printed.out == "gpu\n" and "has a GPU" in printed.err


def test_a_name_that_cannot_be_is_refused(repository: Path, manifest: Manifest) -> None:
    with pytest.raises(RepositoryError, match=r"h100.*cpu-16, cpu-32, cpu-4, cpu-64, cpu-8, cpu-int8-16, .*, gpu"):
        choose_configuration(repository, NATIVE, "h100")
    with pytest.raises(ServingError, match="needs a GPU, and this machine has none"):
        choose_configuration(repository, NATIVE, "gpu")


def test_the_image_with_the_stand_in_leaves_a_gpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_gpus(tmp_path / "bin", monkeypatch)
    monkeypatch.setattr(hardware_fit, "OFFICIAL", tmp_path)
    backend = tmp_path / "backends" / "onnxruntime"
    backend.mkdir(parents=True)
    (backend / "model.py").touch()
    main(tmp_path)
    assert capsys.readouterr().out.startswith("cpu-")


def test_the_name_for_two_cores_stands_for_config_pbtxt(repository: Path, manifest: Manifest, signs: Signs) -> None:
    assert choose_configuration(repository, NATIVE, "cpu-2").name == "cpu-2"
    shown = [signs("export", "config", "sign_classifier", "-r", repository, *more) for more in ((), NAMED)]
    assert shown[0][:2] == shown[1][:2] and shown[0][0] == 0


def test_signs_serve_says_so_in_one_line(
    installation: Installation, repository: Path, manifest: Manifest, signs: Signs
) -> None:
    home = Path(__file__).parents[2] / ".tritonserver"
    for name, reason in (("gpu", "needs a GPU"), ("nowhere", "no model has a configuration")):
        code, _, err = signs("serve", "--repository", repository, "--home", home, "--configuration", name)
        assert code == 1 and reason in err and len(err.strip().splitlines()) == 1
    code, _, err = signs("serve", "--repository", repository, "--home", home, "--grpc-threads", 4)
    assert code == 1 and "has no option --grpc-infer-thread-count" in err


def test_leaving_out_the_check_of_files_leaves_that_of_the_hardware(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path, signs: Signs
) -> None:
    shutil.copytree(repository / "sign_classifier", tmp_path / "sign_classifier")
    path = tmp_path / "sign_classifier" / "config.pbtxt"
    path.write_text(path.read_text().replace("kind: KIND_CPU", "kind: KIND_GPU"))
    for configs in tmp_path.glob("*/configs"):
        shutil.rmtree(configs)
    home = Path(__file__).parents[2] / ".tritonserver"
    code, _, err = signs("serve", "--repository", tmp_path, "--home", home, "--no-verify")
    assert code == 1 and "sign_classifier needs a GPU" in err and len(err.strip().splitlines()) == 1


def test_no_option_is_passed_where_none_is_asked_for() -> None:
    assert grpc_thread_arguments(NATIVE, 0) == ()


@pytest.mark.parametrize("threads", [1, 129])
def test_a_number_of_threads_that_ends_the_server_is_refused(threads: int) -> None:
    with pytest.raises(ServingError, match=f"--grpc-threads is {threads}: give 2 to 128, or 0"):
        grpc_thread_arguments(NATIVE, threads)


def test_a_file_for_cpus_does_not_land_on_a_gpu(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    config = tmp_path / "models" / "sign_classifier" / "config.pbtxt"
    (config.parent / "1").mkdir(parents=True)
    source = repository / "sign_classifier"
    (config.parent / "1" / "model.onnx").write_bytes((source / "1" / "model.onnx").read_bytes())
    text = (source / "config.pbtxt").read_text()
    config.write_text(text.replace("kind: KIND_CPU", "kind: KIND_AUTO"))
    check_hardware(config.parents[1])
    for way in ('platform: "onnxruntime_onnx"', 'backend: "onnxruntime"'):
        config.write_text(config.read_text().replace('platform: "onnxruntime_onnx"', way))
        with pytest.raises(RepositoryError, match="sign_classifier has no file for GPUs"):
            check_hardware(config.parents[1], "gpu", gpu=True)
    config.write_text(text)
    check_hardware(config.parents[1], "gpu", gpu=True)
    config.write_text(text.replace("kind: KIND_CPU", "kind: KIND_GPU"))
    with pytest.raises(RepositoryError, match="sign_classifier needs a GPU, and this server has none"):
        check_hardware(config.parents[1])


def test_tensorrt_on_several_gpus_needs_a_server_that_numbers_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.config import Serving, to_text
    from tests.network_configs import classifier_config

    model = tmp_path / "models" / "sign_classifier"
    (model / "1").mkdir(parents=True)
    serving = Serving(64, target="gpu", tensorrt=True)
    (model / "config.pbtxt").write_text(to_text(classifier_config("sign_classifier", 48, 43, serving)))
    set_up_gpus(tmp_path / "one", monkeypatch)
    check_tensorrt(model.parent, find_fit(True, {}), "2.51.0")
    set_up_gpus(tmp_path / "two", monkeypatch, (GPU, GPU))
    check_tensorrt(model.parent, find_fit(True, {}), "2.59.0")
    with pytest.raises(
        ServingError, match=r"tritonserver 2.51.0 would run on the first GPU alone, of 2: take one from"
    ):
        check_tensorrt(model.parent, find_fit(True, {}), "2.51.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as the message proposes
    check_tensorrt(model.parent, find_fit(True, {}), "2.51.0")
