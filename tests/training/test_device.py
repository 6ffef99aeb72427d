"""Tests of where and how precisely to compute."""

import pytest
import torch

from training import device
from training.device import World, joined_world, pick_device, pick_precision, pick_workers
from training.errors import TrainingError


def test_device_of_another_build_of_pytorch_is_a_training_error() -> None:
    with pytest.raises(TrainingError, match="no device 'hpu' here"):
        pick_device("hpu")


def test_device_that_is_none_names_those_that_are() -> None:
    with pytest.raises(
        TrainingError, match=r"^no device 'gpu' here \(the names are cpu, cuda, cuda:N and auto\): give"
    ):
        pick_device("gpu")


def test_device_that_holds_no_values_is_a_training_error() -> None:
    with pytest.raises(TrainingError, match="no device 'meta' here"):
        pick_device("meta")


def test_auto_picks_a_device_that_works() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == torch.device("cpu")


def test_precision_is_as_asked_or_one_that_the_hardware_has() -> None:
    cpu = torch.device("cpu")

    assert pick_precision("fp32", cpu) == "fp32"
    assert pick_precision("bf16", cpu) == "bf16"
    assert pick_precision("auto", cpu) in ("fp32", "bf16")


def test_workers_are_as_asked_or_suit_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_workers(3, torch.device("cpu")) == 3
    assert pick_workers(None, torch.device("cpu")) == 0
    monkeypatch.setattr(device, "usable_cores", lambda: 8)
    assert pick_workers(None, torch.device("cuda")) == 7
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert pick_workers(None, torch.device("cuda")) == 1
    monkeypatch.setattr(device, "usable_cores", lambda: 256)
    assert pick_workers(None, torch.device("cuda")) == 16


def test_world_is_of_one_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    with joined_world("cpu") as world:
        assert world == World(0, 1)
