"""The settings of what asks Prometheus: the drift watch, its study, and the watch over a new version."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from monitoring.drift.limits import DriftLimits
from traffic_signs.durations import DURATION, seconds
from traffic_signs.settings import (
    DATA_METAVAR,
    DEFAULT_REPOSITORY,
    OUTPUT,
    SCENES,
    BaseSettings,
    Host,
    Port,
    Repository,
    RepositoryFolder,
    ScoreThreshold,
    Seed,
    Setting,
    SettingError,
)

PROMETHEUS = "http://localhost:9090"
PrometheusAddress = Annotated[str, Setting("Address of Prometheus.", metavar="URL")]
Window = Annotated[str, Setting("Time to look back, such as 5m, 1h or 2d.", metavar=DURATION, check=seconds)]
Interval = Annotated[str, Setting("Time between two rounds of checks, such as 15s.", metavar=DURATION, check=seconds)]


@dataclass(frozen=True)
class DriftConfig(BaseSettings):
    """What the drift watch compares, and where it publishes its scores."""

    limits: DriftLimits = field(default_factory=DriftLimits)
    prometheus: PrometheusAddress = PROMETHEUS
    repository: Repository = DEFAULT_REPOSITORY  # which has the references
    window: Window = "1h"
    interval: Interval = "60s"
    host: Host = "127.0.0.1"
    port: Port = 9105
    selector: Annotated[
        str,
        Setting(
            "More label matchers for the recognizer's metrics, such as 'namespace=\"production\"'.", metavar="MATCHERS"
        ),
    ] = ""


@dataclass(frozen=True)
class WatchConfig(BaseSettings):
    """Which version is watched, against which one, and for how long."""

    prometheus: PrometheusAddress = PROMETHEUS
    old: Annotated[
        str,
        Setting(
            "Label matchers of the old version, such as 'track=\"stable\"'.",
            metavar="MATCHERS",
            show_default="all series",
        ),
    ] = ""
    new: Annotated[
        str, Setting("Label matchers of the new version.", metavar="MATCHERS", show_default="all series")
    ] = ""
    since: Annotated[
        float | None,
        Setting(
            "When the new version replaced the old one, in seconds since 1970: compare before with after.",
            show_default="both serve at the same time",
        ),
    ] = None
    window: Window = "5m"
    duration: Annotated[
        str, Setting("Duration of the watch, such as 10m.", flags=("--for",), metavar=DURATION, check=seconds)
    ] = "10m"
    interval: Interval = "15s"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.since is None and self.old == self.new:
            raise SettingError("old and new are the same series: distinguish them by --old and --new, or by --since")


@dataclass(frozen=True)
class StudyConfig(BaseSettings):
    """What a study of the drift watch measures, and how often it draws."""

    data: Annotated[str, Setting(f"Scenes that the models were not trained on: {SCENES}", metavar=DATA_METAVAR)] = ""
    repository: RepositoryFolder = Path(DEFAULT_REPOSITORY)
    score_threshold: ScoreThreshold = 0.3
    altered: Annotated[int, Setting("Scenes to darken and blur.", min=10)] = 60
    measured: Annotated[
        Path | None, Setting("Folder of an earlier study, in place of --data: nothing is measured again.")
    ] = None
    trials: Annotated[int, Setting("Windows for each false-alarm rate.", min=10)] = 2000
    seed: Seed = 0
    output: Annotated[Path, OUTPUT] = Path("runs/drift")

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.data) == (self.measured is not None):
            raise SettingError("give either --data or --measured")
