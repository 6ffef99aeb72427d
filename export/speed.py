"""How fast exported networks are on this machine: in turn, so that all of them see the same moods of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from export.arrays import Images
from export.devices import CPU, CUDA, open_session
from traffic_signs.progress import ProgressCallback, silent

ROUNDS = 7
SECONDS = 0.2  # a round of each network, at the least


@dataclass(frozen=True)
class Speed:
    """Speed of a network.

    Attributes:
        images_per_second: median over the rounds.
        ratio: to the first network, median over the rounds, in each of which they ran one after the other.
        worst_ratio: of the round in which it did worst.
        provider: of ONNX Runtime, what they ran on.
    """

    images_per_second: float
    ratio: float
    worst_ratio: float
    batch: int
    provider: str


def measure_speeds(
    paths: Mapping[str, Path], batch: Images, rounds: int = ROUNDS, progress: ProgressCallback = silent
) -> dict[str, Speed]:
    """Times networks in ONNX Runtime, on the GPU where it has one and else on the CPU.

    Args:
        paths: of the ONNX files, by name; the others are compared with the first one.
        batch: uint8 [n, height, width, 3].

    Raises:
        ExportError: ONNX Runtime cannot load a file.
    """
    providers = [CUDA, CPU] if CUDA in onnxruntime.get_available_providers() else [CPU]
    sessions = {name: open_session(path, providers=providers) for name, path in paths.items()}
    used = next(iter(sessions.values())).get_providers()[0]  # the GPU's falls back where there is no device
    for session in sessions.values():
        _run_for(session, batch, 0)  # memory, kernels
    measured = []
    for done in range(1, rounds + 1):
        measured.append([_run_for(session, batch, SECONDS) for session in sessions.values()])
        progress("timing rounds", done, rounds)
    rates = np.array(measured)
    ratios = rates / rates[:, :1]
    return {
        name: Speed(
            images_per_second=float(np.median(rates[:, number])),
            ratio=float(np.median(ratios[:, number])),
            worst_ratio=float(ratios[:, number].min()),
            batch=len(batch),
            provider=used,
        )
        for number, name in enumerate(sessions)
    }


def _run_for(session: onnxruntime.InferenceSession, batch: Images, seconds: float) -> float:
    """Runs a network at least once and for so long; returns images per second."""
    feed = {session.get_inputs()[0].name: batch}
    images, began = 0, time.perf_counter()
    while not images or time.perf_counter() - began < seconds:
        session.run(None, feed)
        images += len(batch)
    return images / (time.perf_counter() - began)
