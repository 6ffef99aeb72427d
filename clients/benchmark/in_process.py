"""ONNX Runtime in this process: what no server can surpass on this machine."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clients.benchmark.onnx_network import OnnxNetwork
from clients.benchmark.plan import Way
from traffic_sign_client.errors import ClientError

MOST_THREADS = 1024


def check_network(path: Path, shape: tuple[int, ...]) -> None:
    """Raises ClientError if ONNX Runtime cannot run a network on pictures of a shape, [height, width, 3]."""
    try:
        (wanted,) = OnnxNetwork(path, 1).session.get_inputs()
    except ModuleNotFoundError as error:
        raise ClientError("--in-process runs ONNX Runtime: pip install onnxruntime, or leave it out") from error
    except Exception as error:  # ONNX Runtime has many, and they differ by version
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ClientError(f"ONNX Runtime cannot read {path} ({reason}): give the classifier's own --onnx") from error
    if tuple(wanted.shape[1:]) != shape or wanted.type != "tensor(uint8)":
        raise ClientError(
            f"{path} takes {wanted.type} {wanted.shape[1:]} and the served classifier uint8 {list(shape)}: they are "
            "not the same network; give its own --onnx"
        )


def measure_in_process(path: Path, pictures: npt.NDArray[np.uint8], way: Way, seconds: float) -> float:
    """Runs an ONNX file over and over, without any server; returns pictures per second.

    `pictures`, uint8 [n, height, width, 3], are repeated to fill batches.
    """
    batch = pictures[np.arange(way.batch) % len(pictures)]
    networks = [OnnxNetwork(path, min(way.threads, MOST_THREADS)) for _ in range(way.sessions)]
    return way.batch * calls_per_second([partial(network, batch) for network in networks], seconds)


def calls_per_second(functions: Sequence[Callable[[], object]], seconds: float) -> float:
    """Calls functions over and over, side by side in threads; returns calls per second of all together.

    Each is called at least once, and unmeasured for a quarter of the time before. All are measured at the same time.
    """
    with ThreadPoolExecutor(len(functions)) as pool:
        list(pool.map(partial(_rate, seconds=seconds / 4), functions))
        return sum(pool.map(partial(_rate, seconds=seconds), functions))


def _rate(function: Callable[[], object], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while not done or time.perf_counter() - began < seconds:
        function()
        done += 1
    return done / (time.perf_counter() - began)
