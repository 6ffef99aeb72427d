"""Runs networks: in PyTorch, in ONNX Runtime or on a Triton server, with the interface `Predictor`."""

import asyncio
import weakref
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from export.arrays import Images, Outputs
from export.devices import open_session
from export.errors import ExportError
from export.kinds import find_kind, kind_of_inputs
from export.model_kind import Predictor
from export.repository import MANIFEST, parse_manifest
from export.repository.class_names import CLASS_NAMES
from export.repository.onnx_file import FIXED_BATCHES
from traffic_sign_client.answers import Prediction
from traffic_sign_client.client import MOST_CLASSES
from traffic_sign_client.connection import Connection, Protocol
from training.checkpoint import CheckpointInfo
from training.device import pick_device

TIMEOUT_S = 60.0  # for a server's answer

T = TypeVar("T")


class TorchPredictor(Predictor):
    """A checkpoint's network in PyTorch, on the device cpu or cuda."""

    def __init__(self, network: nn.Module, info: CheckpointInfo, device: str = "cpu") -> None:
        self.kind, self.backend = find_kind(info.model), f"pytorch{_suffix(device)}"
        self.size, self.max_batch, self.trained_on = _size(info.input_size), self.kind.max_batch, info.data
        torch.backends.cudnn.allow_tf32 = False  # as the exported files run there: without TF32
        self._device = pick_device(device)
        self._network = self.kind.wrap(network.eval()).to(self._device)
        self._class_names = info.class_names

    def class_names(self) -> list[str]:
        """Returns those of the checkpoint."""
        return self._class_names

    def _run(self, images: Images) -> Outputs:
        with torch.inference_mode():
            answer = self._network(torch.from_numpy(images).to(self._device))
        values = answer if isinstance(answer, tuple) else (answer,)
        return {spec.name: each.cpu().numpy() for spec, each in zip(self.kind.outputs, values, strict=True)}


class OnnxPredictor(Predictor):
    """An ONNX file in ONNX Runtime.

    Args:
        device: cpu or cuda, where it must run.
        max_batch: most images at once; 0 for the fixed batch of the file, or else the default of its kind.

    Raises:
        ExportError: ONNX Runtime cannot load the file or cannot run it on the device, or its kind is unknown.
    """

    def __init__(self, path: Path, device: str = "cpu", max_batch: int = 0) -> None:
        from onnx import TensorProto  # heavy, as ONNX Runtime: a checkpoint and a server need neither

        inputs = read_inputs(path)  # first: clearer than ONNX Runtime about a wrong file
        kind = kind_of_inputs([each.name for each in inputs])
        tensor = inputs[0].type.tensor_type
        sides = [dim.dim_value for dim in tensor.shape.dim[1:]]
        if kind is None or tensor.elem_type != TensorProto.UINT8 or sides[2:] != [3] or not all(sides):
            raise ExportError(f"{path} is not a classifier or detector of this project: give a file of `signs export`")
        self.size = _size(sides)
        self.kind, self.backend = kind, f"onnxruntime{_suffix(device)}"
        manifest = path.with_name(MANIFEST)
        self.trained_on = parse_manifest(manifest.read_bytes(), str(manifest)).data if manifest.is_file() else {}
        self._session = open_session(path, device)
        fixed = self._session.get_modelmeta().custom_metadata_map.get(FIXED_BATCHES, "")
        self.max_batch = max_batch or int(fixed.rpartition(",")[2] or kind.max_batch)

    def class_names(self) -> list[str] | None:
        """Returns those in the metadata of the file."""
        names: str | None = self._session.get_modelmeta().custom_metadata_map.get(CLASS_NAMES)
        return None if names is None else names.split("\n")

    def _run(self, images: Images) -> Outputs:
        names = [output.name for output in self.kind.outputs]
        return dict(zip(names, self._session.run(names, {self.kind.input.name: images}), strict=True))


class TritonPredictor(Predictor):
    """A model on a server, over one connection for one thread, until its block ends or it is garbage-collected.

    Attributes:
        inputs: names of its inputs.
        file: the file that it is served with; empty if its configuration names none.
        on_gpu: whether it runs on GPUs.

    Args:
        model: its name, or name/version.
        retries: if the server cannot be reached.

    Raises:
        ClientError: the server cannot be reached, or has no such model.
    """

    def __init__(self, url: str, protocol: Protocol, model: str, retries: int = 2) -> None:
        self.backend, self.trained_on, self._model = f"triton_{protocol}", {}, model
        self._loop = asyncio.Runner()
        self._server = Connection(url, protocol, timeout=TIMEOUT_S, retries=retries)
        self._end = weakref.finalize(self, _end, self._loop, self._server)
        try:
            config = self._wait(self._server.describe("config", model))
        except BaseException:
            self.close()
            raise
        self.inputs = [str(entry["name"]) for entry in config.get("input", ())]
        self.file = str(config.get("default_model_filename", ""))
        self.on_gpu = any(group.get("kind") == "KIND_GPU" for group in config.get("instance_group", ()))
        self.max_batch = max(1, int(config.get("max_batch_size", 0)))
        kind = kind_of_inputs(self.inputs)
        if kind is not None:  # other models can be described, not called
            self.kind, self.size = kind, _size(config["input"][0]["dims"])

    def class_names(self) -> list[str] | None:
        """Returns the labels of the model on the server, which Triton sends only with an answer."""
        labelled = [output.name for output in self.kind.outputs if output.labelled]
        if not labelled:
            return None
        image = np.zeros((1, *self.size, 3), np.uint8)
        (answer,) = self._wait(self._server.infer(self._model, self.kind.input.name, image, labelled, MOST_CLASSES))
        classes = sorted(map(Prediction.read, answer.ravel().tolist()), key=lambda each: each.class_id)
        names = [each.name for each in classes]
        return names if names != [str(number) for number in range(len(names))] else None  # a number: without a label

    def close(self) -> None:
        """Ends the connection."""
        self._end()

    def _run(self, images: Images) -> Outputs:
        names = [output.name for output in self.kind.outputs]
        answer = self._wait(self._server.infer(self._model, self.kind.input.name, images, names))
        return dict(zip(names, answer, strict=True))

    def _wait(self, answer: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(answer)


def read_inputs(path: Path) -> list[Any]:
    """Returns the inputs of an ONNX file as ONNX describes them; raises ExportError for another file."""
    import onnx

    try:
        inputs = list(onnx.load(path, load_external_data=False).graph.input)
    except Exception as error:  # protobuf's errors have no common base with the others
        raise ExportError(f"{path} is not an ONNX file ({error}): give one that `signs export` wrote") from error
    if not inputs:
        raise ExportError(f"{path} is not an ONNX file of a network: give one that `signs export` wrote")
    return inputs


def _size(sides: Any) -> tuple[int, int]:
    return int(sides[0]), int(sides[1])


def _suffix(device: str) -> str:
    return "" if device == "cpu" else f"_{device}"


def _end(loop: asyncio.Runner, server: Connection) -> None:
    """Ends the connection of a TritonPredictor, also of one that is garbage-collected."""
    loop.run(server.close())
    loop.close()
