"""What is measured: a grid of points, in rounds of a new order each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np

from traffic_sign_client.connection import Protocol

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """A load on a model: so many requests under way at any time, each with a batch of pictures."""

    model: str
    protocol: Protocol
    batch: int
    concurrency: int

    def __str__(self) -> str:
        return f"{self.model}, {self.protocol}, batch {self.batch}, {self.concurrency} at a time"


@dataclass(frozen=True)
class Way:
    """How ONNX Runtime runs a network in this process: sessions side by side, threads in each, pictures at once."""

    sessions: int
    threads: int
    batch: int

    def __str__(self) -> str:
        plural = "" if self.sessions == 1 else "s"
        return f"{self.sessions} session{plural} of {self.threads}, batch {self.batch}"


def plan_points(
    batches_of: Mapping[str, int], protocols: Sequence[Protocol], batches: Sequence[int], concurrencies: Sequence[int]
) -> list[Point]:
    """Returns all combinations that the models take.

    Args:
        batches_of: the largest batch of each model, 0 where it knows none.
        protocols: to ask over.
        batches: pictures in a request; a model gets no larger ones than it takes.
        concurrencies: requests under way.
    """
    return [
        Point(model, protocol, batch, concurrency)
        for (model, largest), protocol, batch, concurrency in product(
            batches_of.items(), protocols, batches, concurrencies
        )
        if batch <= max(1, largest)
    ]


def plan_ways(cores: int, batches: Sequence[int]) -> list[Way]:
    """Returns how ONNX Runtime may use all cores: all on one batch, or each on a batch of its own."""
    divided = [Way(1, cores, batch) for batch in batches]
    return divided if cores == 1 else divided + [Way(cores, 1, batch) for batch in batches]


def in_rounds(jobs: Sequence[T], rounds: int, seed: int = 0) -> Iterator[tuple[int, T]]:
    """Yields the number of a round, from 1, and a job, until each job had its turn in every round.

    Each round has a new random order: a machine that grows slower or faster meanwhile does so for all alike.
    """
    rng = np.random.default_rng(seed)
    for number in range(1, rounds + 1):
        for index in rng.permutation(len(jobs)):
            yield number, jobs[index]
