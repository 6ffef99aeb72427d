"""Runs the load generator against a server, and checks the answers that it keeps."""

import base64
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from clients.benchmark.peers.exchange import TOLERANCES, Exchange, difference
from clients.benchmark.peers.figures import Point, point
from clients.benchmark.peers.models import Work
from clients.benchmark.peers.running import Endpoint
from serving.exit_reason import describe_code
from serving.lifetime import ending_with_this
from traffic_sign_client.errors import ClientError

PROGRAM = "clients.benchmark.peers.load"
WARM_UP = 0.25  # as a share of the measured time
TIMEOUT_S = 30.0  # for one answer
KEPT = 100  # checked answers of each load, spread over its time
CONNECTIONS = 64  # of an open loop


@dataclass(frozen=True)
class Loaded:
    """The result of a load: the figures, the number of checked answers and the largest difference among them."""

    point: Point
    checked: int
    difference: float


def run_load(
    endpoint: Endpoint, exchange: Exchange, work: Work, seconds: float, clients: int = 0, rate: float = 0.0
) -> Loaded:
    """Loads a server in a closed loop of `clients`, or an open one at a `rate` a second, and checks its answers.

    A closed loop runs on after its time until there are as many answers as clients.

    Raises:
        ClientError: it cannot be reached, answered no request, or answered wrongly.
    """
    job = {
        "host": endpoint.host,
        "port": endpoint.port,
        "requests": [
            base64.b64encode(exchange.request(image, endpoint.host, endpoint.port)).decode() for image in work.images
        ],
        "seconds": seconds,
        "warm_up_s": WARM_UP * seconds,
        "clients": clients or CONNECTIONS,
        "rate": rate or None,
        "timeout_s": TIMEOUT_S,
        "keep": KEPT,
    }
    outcome = _run(job, 1.5 * seconds + 4 * TIMEOUT_S)
    if not outcome["latencies_us"] or not outcome["answers"]:
        reasons = "; ".join(outcome["reasons"]) or f"none within {TIMEOUT_S:g} s"
        raise ClientError(f"no request was answered: {reasons}")
    worst = 0.0
    for number, head, body in outcome["answers"]:
        try:
            answer = exchange.unwrap(base64.b64decode(head), base64.b64decode(body))
        except (ValueError, LookupError, TypeError) as error:
            raise ClientError(f"the answer cannot be read: {base64.b64decode(body)[:200]!r}") from error
        worst = max(worst, difference(work.task, answer, work.expected[number]))
    if worst > (tolerance := TOLERANCES[work.task]):
        raise ClientError(f"its answers differ by {worst:.2g} from ONNX Runtime's, more than {tolerance:g}")
    return Loaded(point(outcome, clients, rate), len(outcome["answers"]), worst)


def _run(job: dict[str, Any], limit_s: float) -> dict[str, Any]:
    with subprocess.Popen(
        ending_with_this([sys.executable, "-P", "-m", PROGRAM]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            output, errors = process.communicate(json.dumps(job).encode(), timeout=limit_s)
        except BaseException as error:
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ClientError(f"the load generator did not end within {limit_s:.0f} s") from error
            raise
    if process.returncode:
        said = errors.decode(errors="replace").strip().splitlines() if process.returncode > 0 else []
        raise ClientError(said[-1] if said else f"the load generator ended with {describe_code(process.returncode)}")
    outcome: dict[str, Any] = json.loads(output)
    return outcome
