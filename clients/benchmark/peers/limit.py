"""ONNX Runtime in this process with all cores: what no server of the same file can be faster than on this machine."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clients.benchmark.peers.exchange import Task
from clients.benchmark.peers.models import open_answer

WARM_UP = 0.25  # of the time that is measured


@dataclass(frozen=True)
class Way:
    """A way to use all cores: so many runs of a network at a time, threads of each, and images of a run."""

    runs: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.runs} at a time, threads {self.threads}, batches of {self.batch}"


def ways(cores: int, batches: Iterable[int]) -> list[Way]:
    """Returns the ways to try: one run on all cores, and one for each core, with batches of each size."""
    return list(dict.fromkeys(Way(*each, batch) for batch in batches for each in ((1, cores), (cores, 1))))


def measure(task: Task, models: dict[str, Path], images: Sequence[bytes], way: Way, seconds: float) -> float:
    """Returns the images a second that ONNX Runtime answers in this process.

    Args:
        task: to be answered.
        models: paths of the ONNX files, by name of the model.
        images: that are answered in turn.
        way: how the cores are used.
        seconds: to measure for.
    """
    answers = [open_answer(task, models, way.threads) for _ in range(way.runs)]
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
