"""What a machine says of its GPU and TensorRT; the programs that say it are made up (tests/gpu_machine.py)."""

from pathlib import Path

import pytest

from export.errors import RepositoryError
from export.repository.hardware import Gpu, decode_version, gpus, has_gpu, misfit, tensorrt_version
from tests.gpu_machine import DRIVER, GPU, set_up_gpus, set_up_trtexec

BUILT_FOR = {"gpu": GPU[0], "compute_capability": GPU[1], "driver": DRIVER, "tensorrt": "10.13.3"}


@pytest.mark.parametrize(("number", "version"), [(101303, "10.13.3"), (110100, "11.1.0"), (8601, "8.6.1")])
def test_versions_in_one_number(number: int, version: str) -> None:
    assert decode_version(number) == version


def test_gpus_are_read_with_names_that_hold_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_gpus(tmp_path, monkeypatch, (GPU, ("NVIDIA GeForce RTX 4080", "8.9")))
    assert gpus() == [Gpu(*GPU, DRIVER), Gpu("NVIDIA GeForce RTX 4080", "8.9", DRIVER)]
    assert has_gpu()


def test_what_cuda_programs_do_not_see_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ("NVIDIA GeForce RTX 4080", "8.9")
    set_up_gpus(tmp_path, monkeypatch, (GPU, other))
    for visible, seen in (("1", [other]), ("1,0", [other, GPU]), ("0,-1,1", [GPU]), ("MIG-5c8", [GPU, other])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus() == [Gpu(*each, DRIVER) for each in seen]
    for hidden in ("", "-1", "7"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not has_gpu()


def test_no_gpu_is_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not has_gpu()
    assert "there is no nvidia-smi" in misfit(BUILT_FOR)
    set_up_gpus(tmp_path, monkeypatch, ())
    with pytest.raises(RepositoryError, match="names no GPU of this machine: it printed nothing"):
        gpus()


def test_an_engine_fits_its_own_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up_gpus(tmp_path, monkeypatch)
    monkeypatch.setattr("export.repository.hardware.TRTEXEC", tmp_path / "nowhere")
    assert misfit(BUILT_FOR).endswith("this machine has no TensorRT")
    set_up_trtexec(tmp_path, monkeypatch)
    assert tensorrt_version() == "10.13.3" and misfit(BUILT_FOR) == ""
    assert "TensorRT 10.13.3" in misfit(BUILT_FOR | {"tensorrt": "10.13.2"})
    assert "compute capability 8.0" in misfit(BUILT_FOR | {"compute_capability": "8.6"})
    assert "older driver" in misfit(BUILT_FOR | {"driver": "570.86.16"})
    assert misfit(BUILT_FOR | {"driver": "70.200"}) == "", "numbers, not letters, are compared"
    assert "this machine has" in misfit({"gpu": GPU[0]}), "a manifest that does not say all fits nowhere"
