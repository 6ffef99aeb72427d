"""The settings of what asks Prometheus: the drift watch, its study, and the watch over a new version."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from monitoring.drift.limits import DriftLimits
from monitoring.errors import MonitoringError
from traffic_signs.settings import (
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

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(duration: str) -> float:
    """Returns the seconds of a duration in Prometheus' format: 60s, 90m, 1h30m.

    Raises:
        MonitoringError: it has another format, or is not above 0.
    """
    parts = re.findall(r"(\d+)([smhdw])", duration)
    total = sum(int(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != duration or not 0 < total <= 100 * UNITS["w"]:
        raise MonitoringError(f"{duration!r}: give a duration such as 60s, 90m, 1h30m or 2d")
    return float(total)


PROMETHEUS = "http://localhost:9090"
PrometheusAddress = Annotated[str, Setting("Address of Prometheus.")]
Window = Annotated[str, Setting("Time to look back, such as 5m, 1h or 2d.", check=seconds)]
Interval = Annotated[str, Setting("Time from one look to the next, such as 15s.", check=seconds)]


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
        str, Setting("More label matchers for the recognizer's metrics, such as 'namespace=\"production\"'.")
    ] = ""


@dataclass(frozen=True)
class WatchConfig(BaseSettings):
    """Which version is watched, against which one, and for how long."""

    prometheus: PrometheusAddress = PROMETHEUS
    old: Annotated[
        str, Setting("Label matchers of the old version, such as 'track=\"stable\"'.", show_default="all series")
    ] = ""
    new: Annotated[str, Setting("Label matchers of the new version.", show_default="all series")] = ""
    since: Annotated[
        float | None,
        Setting(
            "When the new version replaced the old one, in seconds since 1970: compare before with after.",
            show_default="both serve at the same time",
        ),
    ] = None
    window: Window = "5m"
    duration: Annotated[str, Setting("Duration of the watch, such as 10m.", flags=("--for",), check=seconds)] = "10m"
    interval: Interval = "15s"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.since is None and self.old == self.new:
            raise SettingError("old and new are the same series: distinguish them by --old and --new, or by --since")


@dataclass(frozen=True)
class StudyConfig(BaseSettings):
    """What a study of the drift watch measures, and how often it draws."""

    data: Annotated[str, Setting(f"Scenes that the models were not trained on: {SCENES}")] = ""
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
