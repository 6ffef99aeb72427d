"""The server that is measured: what it is, and what its models take."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from traffic_sign_client.client import PHOTOGRAPH
from traffic_sign_client.connection import Connection, Protocol
from traffic_sign_client.errors import ClientError, UnknownModelError

CLASSIFIER, RECOGNIZER, DETECTOR = "sign_classifier", "sign_recognizer", "sign_detector"
SCENES = "scenes"  # name of the detector's input
# What a server names as the backend of an ONNX model where the stand-in runs it; of Triton's own it names a library.
STAND_IN = "model.py"
CALLED = (DETECTOR, CLASSIFIER)  # by the recognizer

Takes = Literal["signs", "scenes", "photographs"]


@dataclass(frozen=True)
class Model:
    """A model that a server has ready.

    Attributes:
        name: on the server.
        takes: signs or scenes as pixels, or whole photographs as files.
        input_name: of its only input.
        shape: of one picture, without the batch.
        largest_batch: that it takes in a request; 0 where it knows no batches.
        versions: that are served.
        is_cached: whether answers may come out of Triton's cache.
        metadata: all that the server says of it.
    """

    name: str
    takes: Takes
    input_name: str
    shape: tuple[int, ...]
    largest_batch: int
    versions: tuple[str, ...]
    is_cached: bool
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A server that answers.

    Attributes:
        urls: host:port for each protocol.
        metadata: what it says of itself.
        models: to measure.
        others: names of the models that the recognizer calls and that are there.
        has_standin: the ONNX models run on the stand-in for Triton's backend, as the server itself says.
    """

    urls: Mapping[Protocol, str]
    metadata: dict[str, Any]
    models: tuple[Model, ...]
    others: tuple[str, ...]
    has_standin: bool = False

    @property
    def description(self) -> str:
        """What it is, for a person."""
        backend = "ONNX Runtime stand-in backend" if self.has_standin else "Triton's own backends"
        return f"tritonserver {self.metadata.get('version', '')}, {backend}"


def look_at(urls: Mapping[Protocol, str], wanted: Sequence[str]) -> Target:
    """Asks a server over every protocol what it is, and over the first one for its models.

    Args:
        urls: host:port for each protocol.
        wanted: names of models; empty takes classifier and recognizer where they are.

    Raises:
        ClientError: nobody answers, a model is not there, or it takes no pictures.
    """
    return asyncio.run(_look_at(urls, wanted))


async def _look_at(urls: Mapping[Protocol, str], wanted: Sequence[str]) -> Target:
    metadata: dict[str, Any] = {}
    for protocol, url in urls.items():
        connection = Connection(url, protocol)
        try:
            metadata = await connection.describe("metadata", "")
        finally:
            await connection.close()
    protocol, url = next(iter(urls.items()))
    connection = Connection(url, protocol)
    try:
        models = []
        for name in wanted or (CLASSIFIER, RECOGNIZER):
            try:
                models.append(await _model(connection, name))
            except UnknownModelError as error:
                if wanted:
                    raise UnknownModelError(f"the server at {url} has no model {name} ready: {error}") from error
        others = [name for name in CALLED if await connection.ready(name)]
        configs = [await connection.describe("config", name) for name in {*others, *(model.name for model in models)}]
    finally:
        await connection.close()
    if not models:
        raise ClientError(f"the server at {url} has neither {CLASSIFIER} nor {RECOGNIZER}: name a model with --models")
    return Target(urls, metadata, tuple(models), tuple(others), any(map(runs_on_stand_in, configs)))


def runs_on_stand_in(config: Mapping[str, Any]) -> bool:
    """Returns whether a model, by its configuration as the server gives it, runs on the stand-in for ONNX Runtime."""
    return config.get("backend") == "onnxruntime" and config.get("runtime") == STAND_IN


async def _model(connection: Connection, name: str) -> Model:
    metadata = await connection.describe("metadata", name)
    config = await connection.describe("config", name)
    inputs = config.get("input", [])
    refusal = f"{name} takes no pictures alone: `signs bench` measures networks of one UINT8 input, and the recognizer"
    if len(inputs) != 1:
        raise ClientError(refusal)
    kind, shape = str(inputs[0]["data_type"]), tuple(int(side) for side in inputs[0]["dims"])
    takes: Takes
    if inputs[0]["name"] == PHOTOGRAPH and kind == "TYPE_STRING":
        takes = "photographs"
    elif kind == "TYPE_UINT8" and len(shape) == 3 and shape[2] == 3 and min(shape) > 0:
        takes = "scenes" if inputs[0]["name"] == SCENES or shape[0] != shape[1] else "signs"
    else:
        raise ClientError(refusal)
    return Model(
        name,
        takes,
        str(inputs[0]["name"]),
        shape,
        # The recognizer wants one photograph a request and joins requests itself.
        1 if takes == "photographs" else int(config.get("max_batch_size", 0)),
        tuple(map(str, metadata.get("versions", ()))),
        bool(config.get("response_cache", {}).get("enable", False)),
        metadata,
    )
