"""Times exported networks on this machine alternately, so that its slow phases hit all alike."""

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
SECONDS = 0.2  # at least, for a network in a round


@dataclass(frozen=True)
class Speed:
    """Speed of a network, and its ratio to the first one: medians over the rounds, and the ratio of the worst round."""

    images_per_second: float
    ratio: float
    worst_ratio: float
    batch: int
    provider: str


def measure_speeds(
    paths: Mapping[str, Path], batch: Images, rounds: int = ROUNDS, progress: ProgressCallback = silent
) -> dict[str, Speed]:
    """Times networks in ONNX Runtime, on a GPU if it can use one.

    Args:
        paths: of the ONNX files, by name; the first is the one to compare with.
        batch: uint8 [n, height, width, 3].

    Raises:
        ExportError: ONNX Runtime cannot load a file.
    """
    providers = [CUDA, CPU] if CUDA in onnxruntime.get_available_providers() else [CPU]
    sessions = {name: open_session(path, providers=providers) for name, path in paths.items()}
    used = next(iter(sessions.values())).get_providers()[0]  # without a device CUDA falls back to the CPU
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
    """Runs a network at least once and for so many seconds; returns images per second."""
    feed = {session.get_inputs()[0].name: batch}
    images, began = 0, time.perf_counter()
    while not images or time.perf_counter() - began < seconds:
        session.run(None, feed)
        images += len(batch)
    return images / (time.perf_counter() - began)
