"""The settings of an evaluation: a model, and the data that it is evaluated on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import (
    DATA_METAVAR,
    MODEL_PATH,
    OUTPUT,
    SCENES,
    SERVED_MODEL,
    BaseSettings,
    Data,
    Device,
    Protocol,
    Setting,
    SettingError,
    Split,
    UnknownThreshold,
    Url,
)


@dataclass(frozen=True)
class EvaluationRequest(BaseSettings):
    """What is evaluated: a file, or, with `url` and without `model`, what a server answers."""

    data: Data
    model: Annotated[Path | None, MODEL_PATH] = None
    url: Url = ""
    protocol: Protocol = "grpc"
    name: Annotated[
        str,
        replace(
            SERVED_MODEL,
            show_default="for scenes sign_recognizer if it is served, else sign_classifier, else sign_detector",
        ),
    ] = ""
    version: Annotated[
        str, Setting("Version of the model on the server.", metavar="N", show_default="the server's choice")
    ] = ""
    classifier: Annotated[
        Path | None,
        Setting("Names the signs that a detector MODEL finds: a checkpoint, a version's folder or an .onnx file."),
    ] = None
    device: Device = "cpu"
    split: Split = "test"
    output: Annotated[Path | None, OUTPUT] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.url and self.device != "cpu":
            raise SettingError("a server has its own device: leave out --device or --url")


@dataclass(frozen=True)
class RobustnessRequest(BaseSettings):
    """What is shown corrupted pictures; a `limit` of 0 takes all, and 2,000 drawings, which are for German classes."""

    model: Annotated[Path, MODEL_PATH]
    data: Data
    background: Annotated[
        str, Setting(f"Scenes from which a classifier gets crops without a sign: {SCENES}", metavar=DATA_METAVAR)
    ] = ""
    unknown_threshold: UnknownThreshold = None
    split: Split = "test"
    limit: Annotated[int, Setting("Pictures of each kind to take, evenly chosen; 0: all.", min=0)] = 0
    output: Annotated[Path | None, OUTPUT] = None
