"""References to models: a checkpoint in PyTorch, a file in ONNX Runtime, or a model on a server."""

from dataclasses import dataclass
from pathlib import Path

from export.kinds import CLASSIFIER, KINDS, kind_of_inputs
from export.model_kind import Predictor
from export.predictor import OnnxPredictor, TorchPredictor, TritonPredictor, read_inputs
from export.repository import MANIFEST, parse_manifest
from traffic_sign_client.client import PHOTOGRAPH
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, UnknownModelError
from training.checkpoint import load_checkpoint, load_info
from training.data.records import SCENE_KINDS

RECOGNIZER = "sign_recognizer"  # it calls two models, and has no kind


@dataclass(frozen=True)
class ModelRef:
    """A model, wherever it is."""

    path: Path | None  # a checkpoint, a version's folder or an ONNX file; None for a server's model
    url: str = ""
    protocol: Protocol = "grpc"
    name: str = CLASSIFIER.name
    version: str = ""  # of the server's model; empty for the server's choice
    device: str = "cpu"  # cpu or cuda, where a checkpoint or file runs in this process

    def kind(self) -> str:
        """Returns the name of its kind, or RECOGNIZER; raises ClientError for an unknown or missing model."""
        if self.path is None:
            with self._served() as served:
                inputs = served.inputs
        elif _is_checkpoint(self.path):
            return load_info(self.path).model
        else:
            inputs = [each.name for each in read_inputs(_onnx_file(self.path))]
        if inputs == [PHOTOGRAPH]:
            return RECOGNIZER
        kind = kind_of_inputs(inputs)
        if kind is None:
            whose = self.path or f"{self.name} at {self.url}"
            raise ClientError(
                f"{whose} takes {', '.join(inputs)}: it is not a classifier, detector or recognizer of this project"
            )
        return kind.name

    def open(self) -> Predictor:
        """Opens a network, not a recognizer.

        Raises:
            ClientError: the server cannot be reached.
            export.errors.ExportError, training.errors.CheckpointError: the file cannot be used.
        """
        if self.path is None:
            return self._served()
        if _is_checkpoint(self.path):
            return TorchPredictor(*load_checkpoint(self.path), self.device)
        return OnnxPredictor(_onnx_file(self.path), self.device)

    def _served(self) -> TritonPredictor:
        return TritonPredictor(self.url, self.protocol, f"{self.name}/{self.version}")


def usual_model(url: str, protocol: Protocol, kind: str) -> str:
    """Returns the default model of a server for a kind of data; raises ClientError if it cannot be reached."""
    for name in (RECOGNIZER, *(each.name for each in KINDS)) if kind in SCENE_KINDS else ():
        try:
            TritonPredictor(url, protocol, name).close()
            return name
        except UnknownModelError:
            pass
    return CLASSIFIER.name


def metrics_of(path: Path) -> dict[str, float]:
    """Returns the figures stored in a checkpoint or a version; none for an ONNX file alone."""
    if _is_checkpoint(path):
        return load_info(path).metrics
    manifest = _onnx_file(path).with_name(MANIFEST)
    return parse_manifest(manifest.read_bytes(), str(manifest)).metrics if manifest.is_file() else {}


def _is_checkpoint(path: Path) -> bool:
    return (path / "model.json").is_file()


def _onnx_file(path: Path) -> Path:
    file = path / "model.onnx" if path.is_dir() else path
    if file.suffix != ".onnx" or not file.is_file():
        raise ClientError(f"{path} is not a checkpoint, a version with a model.onnx or an .onnx file: check the path")
    return file
