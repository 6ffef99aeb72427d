"""Chooses the device, the precision and the number of processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import distributed

from traffic_signs.cores import usable_cores
from training.errors import TrainingError

Precision = Literal["fp32", "bf16"]


def pick_device(name: str) -> torch.device:
    """Returns the named device; "auto" is a GPU if there is one, and each process of a node takes its own.

    Raises TrainingError if the device does not exist.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    if name == "auto":
        return torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        reason = "the names are cpu, cuda, cuda:N and auto"  # PyTorch's own message lists the devices of all its builds
        raise TrainingError(f"no device {name!r} here ({reason}): give --device cpu") from error
    try:
        torch.zeros(1, device=device).item()  # fails on "meta", whose tensors have no data
    except Exception as error:  # each backend of PyTorch raises its own error
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise TrainingError(f"no device {name!r} here ({reason}): give --device cpu") from error
    return device


def pick_precision(name: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """Returns the precision of the forward pass; weights and their updates are always fp32.

    "auto" is bf16 on GPUs that support it and on CPUs with AMX, which train about 1.6 times as fast with it. CPUs with
    bf16 in AVX-512 only are slower than with fp32 (on one core: 263 and 350 crops a second). fp16 is not offered: it
    needs loss scaling and has no advantage over bf16 on GPUs that support both.
    """
    if name == "auto":
        return "bf16" if _gains_by_bf16(device) else "fp32"
    return name


def _gains_by_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_bf16"))
    return False


def pick_workers(count: int | None, device: torch.device) -> int:
    """Returns how many processes prepare batches: `count`, or the default for the device.

    The default on a CPU is 0: the network's threads wait for each other, so a thread that loses its core to another
    process delays all of them (on 2 cores: 0.75 of the network's speed with one process, 0.9 without).
    """
    if count is not None:
        return count
    if device.type == "cpu":
        return 0
    cores = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # the processes of torchrun share them
    return max(1, min(cores - 1, 16))


@dataclass(frozen=True)
class World:
    """The processes that train one model together, started by `torchrun`; `rank` is the number of this one, from 0."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and reports to the user."""
        return self.rank == 0


@contextmanager
def joined_world(device_name: str) -> Iterator[World]:
    """Joins the processes that `torchrun` started; without torchrun it yields a world of one process.

    Raises TrainingError if the other processes cannot be reached.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1 or "RANK" not in os.environ:
        yield World()
        return
    device = pick_device(device_name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"cannot join the other processes ({error}): start all of them with torchrun") from error
    try:
        yield World(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
