"""ONNX Runtime in this process with all cores: what no server can surpass on this machine.

Its sessions are its own and not those of `export.predictor`: it counts their threads, and needs no PyTorch.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clients.benchmark.plan import Way
from traffic_sign_client.errors import ClientError

CPU = "CPUExecutionProvider"
MOST_THREADS = 1024


def check_network(path: Path, shape: tuple[int, ...]) -> None:
    """Raises ClientError where ONNX Runtime cannot run a network on pictures of a shape."""
    try:
        (wanted,) = _open(path, 1).get_inputs()
    except ModuleNotFoundError as error:
        raise ClientError("--limit runs ONNX Runtime in process: pip install onnxruntime, or leave it out") from error
    except Exception as error:  # ONNX Runtime has many, and they differ by version
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ClientError(f"ONNX Runtime cannot read {path} ({reason}): give the classifier's own --onnx") from error
    if tuple(wanted.shape[1:]) != shape or wanted.type != "tensor(uint8)":
        raise ClientError(
            f"{path} takes {wanted.type} {wanted.shape[1:]} and the served classifier uint8 {list(shape)}: they are "
            "not the same network; give its own --onnx"
        )


def measure_in_process(path: Path, pictures: npt.NDArray[np.uint8], way: Way, seconds: float) -> float:
    """Runs a network over and over, without any server; returns pictures per second.

    Args:
        path: of the ONNX file.
        pictures: uint8 [n, height, width, 3], repeated to fill batches.
        way: how many sessions side by side, threads in each, pictures in a batch.
        seconds: to measure for, after a quarter of that to warm up.
    """
    batch = pictures[np.arange(way.batch) % len(pictures)]
    sessions = [_open(path, way.threads) for _ in range(way.sessions)]
    warm = threading.Barrier(way.sessions)

    def run(session: Any) -> float:
        _run_for(session, batch, seconds / 4)
        warm.wait()
        return _run_for(session, batch, seconds)

    with ThreadPoolExecutor(way.sessions) as pool:
        return sum(pool.map(run, sessions))


def _run_for(session: Any, batch: npt.NDArray[np.uint8], seconds: float) -> float:
    """Runs a network at least once and for so long; returns pictures per second."""
    feed, done, began = {session.get_inputs()[0].name: batch}, 0, time.perf_counter()
    while not done or time.perf_counter() - began < seconds:
        session.run(None, feed)
        done += len(batch)
    return done / (time.perf_counter() - began)


def _open(path: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(threads, MOST_THREADS)
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=[CPU])
