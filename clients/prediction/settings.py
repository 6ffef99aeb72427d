"""The settings of a prediction: which pictures, which server, and what is asked of it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import (
    SCORE_THRESHOLD,
    SERVED_MODEL,
    BaseSettings,
    Concurrency,
    ServerAddress,
    Setting,
    SettingError,
)


@dataclass(frozen=True)
class PredictionRequest(BaseSettings):
    """Pictures, the server that finds their signs, and how."""

    images: Annotated[
        tuple[Path, ...],
        Setting(
            "Photographs (JPEG, PNG, PPM, WebP, BMP), folders of them, patterns, videos.",
            argument=True,
            repeatable=True,
        ),
    ] = ()
    camera: Annotated[int | None, Setting("Number of a camera, in place of files.", min=0)] = None
    frames: Annotated[
        int | None, Setting("Largest number of frames of the camera or of each video.", min=1, show_default="all")
    ] = None
    server: ServerAddress = field(default_factory=ServerAddress)
    annotate: Annotated[Path | None, Setting("Folder for copies with the signs drawn in; the originals stay.")] = None
    score_threshold: Annotated[float | None, replace(SCORE_THRESHOLD, show_default="the server's")] = None
    crops: Annotated[bool, Setting("Each picture shows one sign: only classify it, without a search.")] = False
    top: Annotated[
        int | None, Setting("With --crops: number of classes to show for each picture.", min=1, show_default="3")
    ] = None
    model: Annotated[str, replace(SERVED_MODEL, show_default="sign_recognizer; sign_classifier with --crops")] = ""
    concurrency: Concurrency = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.images) == (self.camera is not None):
            raise SettingError("give photographs, folders or videos, or the number of a camera with --camera")
        if self.crops and (self.annotate is not None or self.score_threshold is not None or self.camera is not None):
            raise SettingError(
                "a picture of one sign is not searched: leave out --annotate, --score-threshold and --camera"
            )
        if self.top is not None and not self.crops:
            raise SettingError("photographs get one class per sign: leave out --top, or add --crops")
