"""Sends requests to a served sign_classifier with every kind of client, until a file appears.

python load.py --triton-http HOST:PORT --triton-grpc HOST:PORT --stop-file PATH [--gateway HOST:PORT] [--want N ...]

Prints on standard error when each kind of client has sent a request. At the end prints as JSON, for each kind, the
number of answers by version, the number of failures, and the first of them. Exits with 1 if a request failed or a
wanted version never answered.

http-new          a plain client, a connection for each request
http-kept         the project's Python client over HTTP, which keeps its connections
grpc              a plain client, one connection to one address
grpc-round-robin  a plain client, a connection to each server that the name stands for
client-stream     a stream of the Python client: photographs if sign_recognizer is served, else crops
gateway           POST /v1/classify, a connection for each request

A plain client is tritonclient's, which does not retry. Needs only the package `clients` with its extra `client`, so
that it can run in a container: `kubectl exec -i POD -- python - ARGUMENTS < .ci/load.py`.
"""

import argparse
import asyncio
import collections
import dataclasses
import io
import json
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import tritonclient.grpc.aio as grpc
import tritonclient.http.aio as http
from PIL import Image

from traffic_sign_client import AsyncSignClient

CLASSIFIER, RECOGNIZER = "sign_classifier", "sign_recognizer"
SIZE = 48  # pixels of the classifier's input
TIMEOUT_S = 30.0
UNKNOWN = "unknown"  # version in answers of the Python client, which does not pass it on

Ask = Callable[[], Awaitable[str]]  # sends a request and returns the version that answered


@dataclasses.dataclass
class Result:
    """What became of the requests of one kind of client."""

    answered: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: list[str] = dataclasses.field(default_factory=list)
    has_asked: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Returns it as it is printed."""
        return {"answered": self.answered, "failed": len(self.failures), "failures": self.failures[:20]}


def crops(count: int = 1) -> np.ndarray:
    """Returns crops of noise, uint8 [count, SIZE, SIZE, 3]."""
    return np.random.default_rng().integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def photograph() -> bytes:
    """Returns noise as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(crops()[0]).save(file, "PNG")
    return file.getvalue()


async def ask_triton(module: Any, client: Any, count: int, **options: Any) -> str:
    """Sends crops with a client of tritonclient's; returns the version that answered."""
    tensor = module.InferInput("images", [count, SIZE, SIZE, 3], "UINT8")
    tensor.set_data_from_numpy(crops(count))
    answer = await client.infer(CLASSIFIER, [tensor], **options)
    check(answer.as_numpy("probabilities"))
    said = answer.get_response()
    return str(said["model_version"] if isinstance(said, dict) else said.model_version)


def check(probabilities: np.ndarray) -> None:
    """Raises ValueError if the probabilities of a crop do not add up to 1."""
    for total in probabilities.sum(axis=1):
        if not 0.99 < total < 1.01:
            raise ValueError(f"the probabilities add up to {total}")


@asynccontextmanager
async def http_new(targets: argparse.Namespace) -> AsyncIterator[Ask]:
    """Opens a connection for each request."""

    async def ask() -> str:
        async with http.InferenceServerClient(targets.triton_http, conn_timeout=TIMEOUT_S) as client:
            return await ask_triton(http, client, targets.crops)

    yield ask


@asynccontextmanager
async def http_kept(targets: argparse.Namespace) -> AsyncIterator[Ask]:
    """Keeps connections, and asks again if one is closed in flight."""
    async with AsyncSignClient(targets.triton_http, "http", timeout=TIMEOUT_S) as client:

        async def ask() -> str:
            check(await client.probabilities(crops()))
            return UNKNOWN

        yield ask


@asynccontextmanager
async def plain_grpc(targets: argparse.Namespace, url: str, policy: str) -> AsyncIterator[Ask]:
    """Keeps a connection to one server of a name or to each, as gRPC's load balancing policy says."""
    async with grpc.InferenceServerClient(url, channel_args=[("grpc.lb_policy_name", policy)]) as client:
        yield lambda: ask_triton(grpc, client, targets.crops, client_timeout=TIMEOUT_S)


@asynccontextmanager
async def client_stream(targets: argparse.Namespace) -> AsyncIterator[Ask]:
    """Streams photographs, or crops if there is no recognizer; after a failure, a new stream."""
    async with AsyncSignClient(targets.triton_grpc_all, timeout=TIMEOUT_S) as client:

        async def photographs() -> AsyncIterator[bytes]:
            while True:
                yield photograph()

        async def classified() -> AsyncIterator[Any]:
            while True:
                yield await client.probabilities(crops())

        has_recognizer = await client.ready(RECOGNIZER)
        streams: list[Any] = []

        async def ask() -> str:
            if not streams:
                streams.append(client.stream(photographs()) if has_recognizer else classified())
            try:
                answer = await anext(streams[0])
            except BaseException:
                await streams.pop().aclose()
                raise
            if isinstance(answer, Exception):
                raise answer
            return UNKNOWN

        yield ask
        for stream in streams:
            await stream.aclose()


@asynccontextmanager
async def gateway(targets: argparse.Namespace) -> AsyncIterator[Ask]:
    """Opens a connection to the gateway for each request."""
    limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=limit) as session:
        url, headers = f"http://{targets.gateway}/v1/classify", {"Content-Type": "image/png"}

        async def ask() -> str:
            async with session.post(url, data=photograph(), headers=headers) as response:
                if response.status != 200:
                    raise ValueError(f"{response.status} {await response.text()}")
                return str((await response.json())["models"].get(CLASSIFIER, UNKNOWN))

        yield ask


KINDS: dict[str, Callable[[argparse.Namespace], AbstractAsyncContextManager[Ask]]] = {
    "http-new": http_new,
    "http-kept": http_kept,
    "grpc": lambda targets: plain_grpc(targets, targets.triton_grpc, "pick_first"),
    "grpc-round-robin": lambda targets: plain_grpc(targets, targets.triton_grpc_all, "round_robin"),
    "client-stream": client_stream,
    "gateway": gateway,
}


async def load(kind: str, targets: argparse.Namespace, results: dict[str, Result]) -> None:
    """Asks until the file is there, at least once."""
    result = results[kind]
    async with KINDS[kind](targets) as ask:
        while not (result.has_asked and targets.stop_file.exists()):
            try:
                version = await ask()
            except Exception as error:  # whatever it is, a request was not answered
                result.failures.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {str(error)[:500]}")
            else:
                result.answered[version] += 1
            if not result.has_asked:
                result.has_asked = True
                if all(each.has_asked for each in results.values()):
                    print("load: all kinds of clients ask", file=sys.stderr, flush=True)
            await asyncio.sleep(targets.pause)


async def main(targets: argparse.Namespace) -> int:
    """Asks in all ways at once; returns the exit code."""
    results = {kind: Result() for kind in targets.kinds}
    await asyncio.gather(*(load(kind, targets, results) for kind in results for _ in range(targets.clients)))
    print(json.dumps({kind: result.as_dict() for kind, result in results.items()}, indent=2))
    answered = {version for result in results.values() for version in result.answered}
    return int(any(result.failures for result in results.values()) or not set(targets.want) <= answered)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triton-http", metavar="HOST:PORT", required=True)
    parser.add_argument("--triton-grpc", metavar="HOST:PORT", required=True)
    parser.add_argument(
        "--triton-grpc-all", metavar="HOST:PORT", help="a name of all servers for round robin; --triton-grpc"
    )
    parser.add_argument("--gateway", metavar="HOST:PORT", help="without it, the gateway is not asked")
    parser.add_argument("--stop-file", metavar="PATH", type=Path, required=True)
    parser.add_argument("--want", metavar="VERSION", nargs="+", default=[], help="of the classifier, that must answer")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="of clients; all")
    parser.add_argument("--clients", metavar="N", type=int, default=1, help="of each kind; 1")
    parser.add_argument("--crops", metavar="N", type=int, default=1, help="in a request of a plain client; 1")
    parser.add_argument("--pause", metavar="SECONDS", type=float, default=0.02, help="of each after an answer; 0.02")
    targets = parser.parse_args()
    targets.triton_grpc_all = targets.triton_grpc_all or targets.triton_grpc
    targets.kinds = targets.kinds or [kind for kind in KINDS if kind != "gateway" or targets.gateway]
    if "gateway" in targets.kinds and not targets.gateway:
        parser.error("--kinds names the gateway: give its address with --gateway")
    if min(targets.clients, targets.crops) < 1 or not 0 <= targets.pause < math.inf:
        parser.error("--clients takes 1 or more, as does --crops, --pause 0 or more seconds")
    return targets


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
