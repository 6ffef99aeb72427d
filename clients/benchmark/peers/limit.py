"""ONNX Runtime in this process with all cores or the GPU: no server of the same files can be faster on this machine."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clients.benchmark.peers.exchange import Task
from clients.benchmark.peers.models import open_answer
from clients.benchmark.peers.servers import Hardware

WARM_UP = 0.25  # of the time that is measured


@dataclass(frozen=True)
class Way:
    """A way to use the hardware: so many runs of a network at a time, threads of each, and requests in a run."""

    runs: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.runs} at a time, threads {self.threads}, batches of {self.batch}"


def ways(hardware: Hardware, batches: Iterable[int]) -> list[Way]:
    """Returns the ways to try with batches of each size: a run on all cores, one for each; on a GPU one and two."""
    runs = ((1, 1), (2, 1)) if hardware.gpu else ((1, hardware.cores), (hardware.cores, 1))
    return list(dict.fromkeys(Way(*each, batch) for batch in batches for each in runs))


def measure(
    task: Task, models: dict[str, Path], images: Sequence[bytes], way: Way, seconds: float, device: str = "cpu"
) -> float:
    """Returns the requests a second that ONNX Runtime answers in this process.

    Args:
        task: to be answered.
        models: paths of the ONNX files that fit the device, by name of the model.
        images: that are answered in turn.
        way: how the cores are used.
        seconds: to measure for.
        device: that computes.
    """
    answers = [open_answer(task, models, way.threads, device) for _ in range(way.runs)]
    batch = [images[number % len(images)] for number in range(way.batch)]
    start = time.perf_counter() + WARM_UP * seconds
    end = start + seconds

    def keep_answering(number: int) -> int:
        done = 0
        while (now := time.perf_counter()) < end:
            answers[number](batch)
            done += way.batch if start <= now else 0
        return done

    with ThreadPoolExecutor(way.runs) as pool:
        done = sum(pool.map(keep_answering, range(way.runs)))
        # The last runs end after the time is up.
        return done / (time.perf_counter() - start)
