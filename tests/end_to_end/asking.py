"""The clients that wait and that await, over both protocols, for tests that must hold for all of them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from serving.server import RunningServer
from tests.end_to_end.street import PROTOCOLS, address
from traffic_sign_client import AsyncSignClient, SignClient
from traffic_sign_client.answers import Photograph
from traffic_sign_client.connection import Protocol

Client = SignClient | AsyncSignClient
WAYS = [
    pytest.param(kind, protocol, id=f"{kind.__name__}-{protocol}")
    for kind in (SignClient, AsyncSignClient)
    for protocol in PROTOCOLS
]


def ask(
    kind: type[Client],
    protocol: Protocol,
    server: RunningServer | str,
    question: Callable[[Any], Any],
    recognizer: str = "sign_recognizer",
    **options: Any,
) -> Any:
    """Returns what a question to a new client is answered; one that is awaited has a loop of its own."""
    url = server if isinstance(server, str) else address(server, protocol)
    if issubclass(kind, SignClient):
        with SignClient(url, protocol, recognizer=recognizer, **options) as client:
            return question(client)

    async def run() -> Any:
        async with AsyncSignClient(url, protocol, recognizer=recognizer, **options) as client:
            return await question(client)

    return asyncio.run(run())


def streamed(client: Client, images: Iterable[Photograph], concurrency: int) -> Any:
    """Returns all answers of a stream, or what they are awaited from."""
    if isinstance(client, SignClient):
        return list(client.stream(images, concurrency=concurrency))

    async def gather() -> list[Any]:
        return [answer async for answer in client.stream(images, concurrency=concurrency)]

    return gather()
