"""What `signs evaluate` judges: a network in PyTorch, an ONNX file in ONNX Runtime, or a model on a server."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.evaluation.served_model import ServedModel
from export.tensors import DETECTOR_OUTPUTS, INPUT_NAME, SCENES
from traffic_sign_client.client import PHOTOGRAPH, SignClient
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, UnknownModelError
from training.data.records import SCENE_KINDS

CLASSIFIER, DETECTOR, RECOGNIZER = "sign_classifier", "sign_detector", "sign_recognizer"
KIND_OF_INPUT = {INPUT_NAME: CLASSIFIER, SCENES: DETECTOR, PHOTOGRAPH: RECOGNIZER}

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to answer.

    Attributes:
        backend: who answers: pytorch or onnxruntime, with _cuda on a GPU, triton_grpc or triton_http.
        run: maps uint8 [n, height, width, 3] to probabilities [n, classes], or of a detector to boxes, scores and
            categories; see `training.models.detector.Found`.
        size: height and width of the input in pixels.
        trained_on: what is known of its training data.
    """

    backend: str
    run: Callable[[Pixels], Any]
    size: tuple[int, int]
    trained_on: dict[str, str]


@dataclass(frozen=True)
class ModelRef:
    """A model, wherever it is.

    Attributes:
        path: a checkpoint, a version's folder or an ONNX file; None for a server's model.
        url: host:port of the server.
        protocol: "grpc" or "http".
        name: of the server's model.
        version: of the server's model; the server's choice where it is empty.
        device: cpu or cuda, where a checkpoint or file runs in this process.
    """

    path: Path | None
    url: str = ""
    protocol: Protocol = "grpc"
    name: str = CLASSIFIER
    version: str = ""
    device: str = "cpu"

    def kind(self) -> str:
        """Returns what it is: CLASSIFIER, DETECTOR or RECOGNIZER.

        Raises:
            ClientError: it is none of them, or not there.
        """
        if self.path is None:
            with self._served_model() as served:
                inputs = served.inputs
        elif _is_checkpoint(self.path):
            from training.checkpoint import load_info

            return load_info(self.path).model
        else:
            from export.parity import input_names

            inputs = input_names(_onnx_file(self.path))
        if len(inputs) != 1 or inputs[0] not in KIND_OF_INPUT:
            whose = self.path or f"{self.name} at {self.url}"
            raise ClientError(f"{whose} takes {', '.join(inputs)}: it is no classifier, detector or recognizer of ours")
        return KIND_OF_INPUT[inputs[0]]

    def open_classifier(self) -> LoadedModel:
        """Opens a classifier.

        Raises:
            ClientError: the server cannot be reached.
            export.errors.ExportError, training.errors.CheckpointError: the file cannot be used.
        """
        if self.path is None:
            client = SignClient(self.url, self.protocol, self._address)
            side = client.input_size()
            return LoadedModel(f"triton_{self.protocol}", client.probabilities, (side, side), {})
        if _is_checkpoint(self.path):
            from export.parity import pytorch_predictor
            from training.checkpoint import load_checkpoint

            network, info = load_checkpoint(self.path, CLASSIFIER)
            run = pytorch_predictor(network.to(self._torch_device()))
            return LoadedModel(f"pytorch{self._suffix}", run, (info.input_size[0], info.input_size[1]), info.data)
        from export.parity import input_size, onnxruntime_predictor

        path = _onnx_file(self.path)
        size = input_size(path)  # first: it says more clearly than ONNX Runtime what a wrong file is
        run = onnxruntime_predictor(path, self.device)
        return LoadedModel(f"onnxruntime{self._suffix}", run, size, _trained_on(path))

    def open_detector(self) -> LoadedModel:
        """Opens a detector; errors are those of `open_classifier`."""
        if self.path is None:
            served = self._served_model()
            return LoadedModel(
                f"triton_{self.protocol}", lambda scenes: served.ask(scenes, DETECTOR_OUTPUTS), served.size, {}
            )
        from export.detection_parity import onnxruntime_detector, pytorch_detector

        if _is_checkpoint(self.path):
            from training.checkpoint import load_checkpoint

            network, info = load_checkpoint(self.path, DETECTOR)
            detect = pytorch_detector(network.to(self._torch_device()))
            size = (info.input_size[0], info.input_size[1])
            return LoadedModel(f"pytorch{self._suffix}", lambda scenes: detect(scenes).arrays(), size, info.data)
        from export.parity import input_size

        path = _onnx_file(self.path)
        size = input_size(path)
        find = onnxruntime_detector(path, self.device)
        return LoadedModel(f"onnxruntime{self._suffix}", lambda scenes: find(scenes).arrays(), size, _trained_on(path))

    @property
    def _suffix(self) -> str:
        return "" if self.device == "cpu" else f"_{self.device}"

    def _torch_device(self) -> Any:
        import torch

        from training.device import pick_device

        torch.backends.cudnn.allow_tf32 = False  # as the exported files run there: without TF32
        return pick_device(self.device)

    @property
    def _address(self) -> str:
        return f"{self.name}/{self.version}"

    def _served_model(self) -> ServedModel:
        return ServedModel(self.url, self.protocol, self._address)


def usual_model(url: str, protocol: Protocol, kind: str) -> str:
    """Returns the model that a server is asked about data of a kind where nobody names one.

    Raises:
        ClientError: the server cannot be reached.
    """
    for name in (RECOGNIZER, CLASSIFIER, DETECTOR) if kind in SCENE_KINDS else ():
        try:
            ServedModel(url, protocol, name).close()
            return name
        except UnknownModelError:
            pass
    return CLASSIFIER


def metrics_of(path: Path) -> dict[str, float]:
    """Returns the figures that a checkpoint or a version says of itself; none of an ONNX file alone."""
    if _is_checkpoint(path):
        from training.checkpoint import load_info

        return load_info(path).metrics
    from export.repository import MANIFEST, parse_manifest

    manifest = _onnx_file(path).with_name(MANIFEST)
    return parse_manifest(manifest.read_bytes(), str(manifest)).metrics if manifest.is_file() else {}


def _is_checkpoint(path: Path) -> bool:
    return (path / "model.json").is_file()


def _onnx_file(path: Path) -> Path:
    file = path / "model.onnx" if path.is_dir() else path
    if file.suffix != ".onnx" or not file.is_file():
        raise ClientError(f"{path} is no checkpoint, no version with a model.onnx and no .onnx file: check the path")
    return file


def _trained_on(path: Path) -> dict[str, str]:
    from export.repository import MANIFEST, parse_manifest

    manifest = path.with_name(MANIFEST)
    return parse_manifest(manifest.read_bytes(), str(manifest)).data if manifest.is_file() else {}
