"""Triton's statistics of its models during a measurement.

perf_analyzer reads them too, but gives up if a called model was never called in a window, and a recognizer does not
call its classifier for photographs without a sign.
"""

import asyncio
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from traffic_sign_client.connection import Connection, Protocol

STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


class Statistics(NamedTuple):
    """A server's counters of a model since its start."""

    pictures: int
    executions: int  # each of a batch of pictures
    milliseconds: float  # in the queue and in computation, over all requests

    def since(self, before: "Statistics") -> "Statistics":
        """Returns the difference to earlier counters."""
        return Statistics(*map(operator.sub, self, before))


def ask_statistics(protocol: Protocol, url: str, models: Sequence[str]) -> dict[str, Statistics]:
    """Returns the statistics of models of a server, host:port, by name; raises ClientError if it does not answer."""

    async def ask() -> dict[str, Statistics]:
        async with Connection(url, protocol) as connection:
            return {name: read_statistics(await connection.describe("statistics", name)) for name in models}

    return asyncio.run(ask())


def read_statistics(answer: Mapping[str, Any]) -> Statistics:
    """Adds up the statistics of all versions of a model; over gRPC numbers are strings, and 0 is left out."""
    pictures, executions, nanoseconds = 0, 0, 0
    for version in answer.get("model_stats", ()):
        pictures += int(version.get("inference_count", 0))
        executions += int(version.get("execution_count", 0))
        stages = version.get("inference_stats", {})
        nanoseconds += sum(int(stages.get(stage, {}).get("ns", 0)) for stage in STAGES)
    return Statistics(pictures, executions, nanoseconds / 1e6)


def waited_inside(
    before: Mapping[str, Statistics], after: Mapping[str, Statistics], model: str, called: Sequence[str]
) -> dict[str, float]:
    """Returns the mean milliseconds that an execution of `model` waited for each model that it called in between."""
    executions = max(1, after[model].since(before[model]).executions)
    return {name: after[name].since(before[name]).milliseconds / executions for name in called}


def mean_batch(before: Statistics, after: Statistics) -> float:
    """Returns the mean number of pictures in an execution."""
    added = after.since(before)
    return added.pictures / max(1, added.executions)
