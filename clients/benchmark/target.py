"""The server that is measured, and what its models take."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from export.repository.manifest import INT8_FILE
from traffic_sign_client.client import PHOTOGRAPH
from traffic_sign_client.connection import Connection, Protocol
from traffic_sign_client.errors import ClientError, UnknownModelError

CLASSIFIER, RECOGNIZER, DETECTOR = "sign_classifier", "sign_recognizer", "sign_detector"
SCENES = "scenes"  # name of the detector's input
STAND_IN = "model.py"  # the stand-in's runtime in a model's configuration; Triton's own is a library
CALLED = (DETECTOR, CLASSIFIER)  # by the recognizer

Takes = Literal["signs", "scenes", "photographs"]


@dataclass(frozen=True)
class Model:
    """A model that is ready."""

    name: str
    takes: Takes  # signs or scenes as pixels, or whole photographs as files
    input_name: str
    shape: tuple[int, ...]  # of one picture, without the batch
    largest_batch: int  # 0 if it takes no batches
    versions: tuple[str, ...]
    is_cached: bool  # answers may come from Triton's cache
    metadata: dict[str, Any]
    file: str = ""  # that its configuration names, if it names one


@dataclass(frozen=True)
class Target:
    """A server that answers."""

    urls: Mapping[Protocol, str]  # host:port
    metadata: dict[str, Any]
    models: tuple[Model, ...]  # to measure
    others: tuple[str, ...]  # names of the served models that the recognizer calls
    has_standin: bool = False  # ONNX models run on the stand-in for Triton's backend
    uses_gpu: bool = False  # a model runs on a GPU
    in_int8: tuple[str, ...] = ()  # names of the models that are served with their int8 file

    @property
    def description(self) -> str:
        """The server, for people."""
        backend = "ONNX Runtime stand-in backend" if self.has_standin else "Triton's own backends"
        return f"tritonserver {self.metadata.get('version', '')}, {backend}"


def look_at(urls: Mapping[Protocol, str], wanted: Sequence[str]) -> Target:
    """Reads a server's metadata over every protocol, and over the first one that of the models that are wanted.

    If none is named, it takes the classifier and the recognizer, where they are served.

    Raises:
        ClientError: no server answers, a model is missing, or it does not take pictures.
    """
    return asyncio.run(_look_at(urls, wanted))


async def _look_at(urls: Mapping[Protocol, str], wanted: Sequence[str]) -> Target:
    metadata: dict[str, Any] = {}
    for protocol, url in urls.items():
        async with Connection(url, protocol) as connection:
            metadata = await connection.describe("metadata", "")
    protocol, url = next(iter(urls.items()))
    models = []
    async with Connection(url, protocol) as connection:
        for name in wanted or (CLASSIFIER, RECOGNIZER):
            try:
                models.append(await _model(connection, name))
            except UnknownModelError as error:
                if wanted:
                    raise UnknownModelError(f"the server at {url} has no model {name} ready: {error}") from error
        others = [name for name in CALLED if await connection.ready(name)]
        configs = [await connection.describe("config", name) for name in {*others, *(model.name for model in models)}]
    if not models:
        raise ClientError(f"the server at {url} has neither {CLASSIFIER} nor {RECOGNIZER}: name a model with --models")
    standin, gpu = (any(map(is_so, configs)) for is_so in (runs_on_stand_in, runs_on_gpu))
    in_int8 = sorted(config["name"] for config in configs if config.get("default_model_filename") == INT8_FILE)
    return Target(urls, metadata, tuple(models), tuple(others), standin, gpu, tuple(in_int8))


def runs_on_stand_in(config: Mapping[str, Any]) -> bool:
    """Returns whether a model runs on the stand-in for ONNX Runtime, by its configuration on the server."""
    return config.get("backend") == "onnxruntime" and config.get("runtime") == STAND_IN


def runs_on_gpu(config: Mapping[str, Any]) -> bool:
    """Returns whether a model has instances on a GPU, by its configuration on the server."""
    return any(group.get("kind") == "KIND_GPU" for group in config.get("instance_group", ()))


async def _model(connection: Connection, name: str) -> Model:
    metadata = await connection.describe("metadata", name)
    config = await connection.describe("config", name)
    inputs = config.get("input", [])
    tensor = inputs[0] if len(inputs) == 1 else {}
    kind, shape = tensor.get("data_type"), tuple(int(side) for side in tensor.get("dims", ()))
    takes: Takes
    if tensor.get("name") == PHOTOGRAPH and kind == "TYPE_STRING":
        takes = "photographs"
    elif kind == "TYPE_UINT8" and len(shape) == 3 and shape[2] == 3 and min(shape) > 0:
        takes = "scenes" if tensor["name"] == SCENES or shape[0] != shape[1] else "signs"
    else:
        raise ClientError(
            f"{name} takes more than a picture: `signs bench` measures networks of one UINT8 input, and the recognizer"
        )
    return Model(
        name,
        takes,
        str(tensor["name"]),
        shape,
        # The recognizer takes one photograph per request and joins requests itself.
        1 if takes == "photographs" else int(config.get("max_batch_size", 0)),
        tuple(map(str, metadata.get("versions", ()))),
        bool(config.get("response_cache", {}).get("enable", False)),
        metadata,
        str(config.get("default_model_filename", "")),
    )
