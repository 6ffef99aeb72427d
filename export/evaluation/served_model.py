"""A network on a server, asked as one in this process would be: arrays in, arrays out."""

import asyncio
import weakref
from collections.abc import Coroutine, Sequence
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from traffic_sign_client.connection import Connection, Protocol

TIMEOUT_S = 60.0

T = TypeVar("T")


class ServedModel:
    """A model on a server, asked over one connection from one thread, until its block ends or it is forgotten.

    Attributes:
        inputs: names of its inputs.

    Args:
        url: host:port of the server.
        protocol: "grpc" or "http".
        model: its name, or name/version.
        retries: how often to ask again where nobody answers.

    Raises:
        ClientError: the server cannot be reached, or has no such model.
    """

    def __init__(self, url: str, protocol: Protocol, model: str, retries: int = 2) -> None:
        self._model = model
        self._loop = asyncio.Runner()
        self._server = Connection(url, protocol, timeout=TIMEOUT_S, retries=retries)
        self._end = weakref.finalize(self, _end, self._loop, self._server)
        try:
            self._config = self._wait(self._server.describe("config", model))
        except BaseException:
            self.close()
            raise
        self.inputs = [str(entry["name"]) for entry in self._config.get("input", ())]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._end()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the images that a network takes."""
        height, width = self._config["input"][0]["dims"][:2]
        return int(height), int(width)

    @property
    def max_batch(self) -> int:
        """The largest batch that the server takes."""
        return max(1, int(self._config.get("max_batch_size", 0)))

    def ask(self, images: npt.NDArray[np.uint8], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        """Returns outputs of a network for images, uint8 [n, height, width, 3], sent in batches that it takes.

        Raises:
            ClientError: there is no answer; its subclass says why.
        """
        parts = [
            self._wait(self._server.infer(self._model, self.inputs[0], images[start : start + self.max_batch], outputs))
            for start in range(0, len(images), self.max_batch)
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _wait(self, answer: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(answer)


def _end(loop: asyncio.Runner, server: Connection) -> None:
    """Ends the connection of a ServedModel; called too where it was forgotten."""
    loop.run(server.close())
    loop.close()
