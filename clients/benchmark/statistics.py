"""Triton's own statistics of its models: what a measurement added to them.

perf_analyzer reads them too, but gives up in a window in which a model that another one calls was never called, and a
recognizer whose photographs hold no sign does not call its classifier.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_sign_client.connection import Protocol, channel_options
from traffic_sign_client.errors import UnavailableError
from traffic_signs.direct import open_url

TIMEOUT_S = 30.0
STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Statistics:
    """What a server has counted of a model since it started.

    Attributes:
        pictures: answered.
        executions: of the model; with batches fewer than pictures.
        milliseconds: that all requests together waited in the queue and were computed.
    """

    pictures: int
    executions: int
    milliseconds: float

    def since(self, before: "Statistics") -> "Statistics":
        """Returns what was added."""
        return Statistics(
            self.pictures - before.pictures,
            self.executions - before.executions,
            self.milliseconds - before.milliseconds,
        )


def ask_statistics(protocol: Protocol, url: str, models: Sequence[str]) -> dict[str, Statistics]:
    """Returns the statistics of models, by name.

    Args:
        protocol: of the address.
        url: host:port.
        models: names.

    Raises:
        UnavailableError: the server does not answer.
    """
    return {name: read_statistics(_ask(protocol, url, name)) for name in models}


def read_statistics(answer: Mapping[str, Any]) -> Statistics:
    """Reads what a server says of a model, all versions together; over gRPC numbers are texts, and 0 is left out."""
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
    """Returns the milliseconds that an execution of a model waited for each model that it calls, on average.

    Args:
        before: statistics before a measurement.
        after: and after it.
        model: that calls.
        called: names of the others.
    """
    executions = max(1, after[model].since(before[model]).executions)
    return {name: after[name].since(before[name]).milliseconds / executions for name in called}


def mean_batch(before: Statistics, after: Statistics) -> float:
    """Returns how many pictures the server computed at once, on average."""
    added = after.since(before)
    return added.pictures / max(1, added.executions)


def _ask(protocol: Protocol, url: str, model: str) -> Any:
    try:
        if protocol == "http":
            with open_url(f"http://{url}/v2/models/{model}/stats", TIMEOUT_S) as response:
                return json.load(response)
        import tritonclient.grpc as triton

        with triton.InferenceServerClient(url, channel_args=channel_options(url)) as client:
            return client.get_inference_statistics(model, as_json=True, client_timeout=TIMEOUT_S)
    except Exception as error:  # of urllib, of JSON, of tritonclient, of gRPC
        raise UnavailableError(f"{url} has no statistics of {model} ({error})") from error
