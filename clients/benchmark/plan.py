"""The points to measure, and their order in each round."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np

from traffic_sign_client.connection import Protocol

T = TypeVar("T")


class Point(NamedTuple):
    """A load on a model: the number of requests in flight at any time, each with a batch of pictures."""

    model: str
    protocol: Protocol
    batch: int
    concurrency: int

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Point":
        """Reads the load of an entry in report.json."""
        return cls(*(entry[name] for name in cls._fields))

    def __str__(self) -> str:
        return f"{self.model}, {self.protocol}, batch {self.batch}, {self.concurrency} at a time"


@dataclass(frozen=True)
class Way:
    """How ONNX Runtime runs a network in this process: parallel sessions, threads of each, pictures in a batch."""

    sessions: int
    threads: int
    batch: int

    def __str__(self) -> str:
        plural = "" if self.sessions == 1 else "s"
        return f"{self.sessions} session{plural} of {self.threads}, batch {self.batch}"


def plan_points(
    batches_of: Mapping[str, int], protocols: Sequence[Protocol], batches: Sequence[int], concurrencies: Sequence[int]
) -> list[Point]:
    """Returns all combinations that the models take; `batches_of` is the largest batch of each model, 0 for none."""
    return [
        Point(model, protocol, batch, concurrency)
        for (model, largest), protocol, batch, concurrency in product(
            batches_of.items(), protocols, batches, concurrencies
        )
        if batch <= max(1, largest)
    ]


def plan_ways(cores: int, batches: Sequence[int], gpu: bool = False) -> list[Way]:
    """Returns how ONNX Runtime may use all cores: one run on all, or one per core; on a GPU one run, or two."""
    runs = ((1, 1), (2, 1)) if gpu else ((1, cores), (cores, 1))
    return list(dict.fromkeys(Way(*each, batch) for each in runs for batch in batches))


def in_rounds(jobs: Sequence[T], rounds: int, seed: int = 0) -> Iterator[tuple[int, T]]:
    """Yields each job in every round, with the number of the round, from 1.

    Each round has a new random order: if the machine becomes slower or faster, it does so for all jobs.
    """
    rng = np.random.default_rng(seed)
    for number in range(1, rounds + 1):
        for index in rng.permutation(len(jobs)):
            yield number, jobs[index]
