"""The settings of the gate, and the limits of its rules."""

from dataclasses import dataclass, field
from pathlib import Path
from string import hexdigits
from typing import Annotated

from traffic_signs.settings import (
    DEFAULT_REPOSITORY,
    BaseSettings,
    Data,
    DryRun,
    Home,
    Model,
    OtherClasses,
    PrivateKey,
    PublicKey,
    Repository,
    Runs,
    ScoreThreshold,
    Setting,
    SettingError,
    Split,
)


def require_hex(text: str) -> None:
    """Raises SettingError for a fingerprint that has other characters than hexadecimal digits."""
    if not set(text) <= set(hexdigits):
        raise SettingError(f"{text!r}: give hexadecimal digits, as `signs export gate` prints them")


@dataclass(frozen=True)
class GateLimits(BaseSettings):
    """The limits of the rules; `min_score` is for a first champion, which has nothing to be compared with."""

    significance: Annotated[
        float,
        Setting("Significance level of each test: the chance that it refuses an equal challenger.", min=1e-6, max=0.5),
    ] = 0.05
    max_loss: Annotated[
        float, Setting("Largest loss of accuracy (of a detector: recall or mAP50), significant or not.", min=0, max=1)
    ] = 0.005
    class_floor: Annotated[float, Setting("Recall below which a class has collapsed.", min=0, max=1)] = 0.5
    min_score: float = 0.9
    max_latency_ratio: Annotated[
        float, Setting("Largest latency, at the median and at p99, as a multiple of the champion's.", min=0)
    ] = 1.25
    max_p99_ms: Annotated[
        float | None, Setting("Largest p99 of single requests in ms.", min=0, show_default="no limit")
    ] = None
    max_size_ratio: Annotated[float, Setting("Largest size of all files, as a multiple of the champion's.", min=0)] = (
        2.0
    )
    # In 1,000,000 bytes.
    max_size_mb: Annotated[
        float | None, Setting("Largest size of all files in MB.", min=0, show_default="no limit")
    ] = None


@dataclass(frozen=True)
class GateConfig(BaseSettings):
    """What the gate compares, on which data, and how."""

    model: Model
    data: Data  # the evaluation set
    repository: Repository = DEFAULT_REPOSITORY
    challenger: Annotated[
        int | None, Setting("Number of the version to evaluate.", min=1, show_default="the newest")
    ] = None
    champion: Annotated[
        int | None,
        Setting(
            "Number of the version to compare it with.",
            min=1,
            show_default="the champion; before any promotion the newest earlier version that was not refused",
        ),
    ] = None
    split: Split = "test"
    fingerprint: Annotated[
        str,
        Setting(
            "First digits of the data's fingerprint, as printed before; other data is an error.",
            metavar="HEX",
            check=require_hex,
        ),
    ] = ""
    limits: GateLimits = field(default_factory=GateLimits)
    # In place of that in `limits`, which depends on the kind of model.
    min_score: Annotated[
        float | None, Setting("Least score of a first champion.", min=0, max=1, show_default="0.9; for a detector 0.5")
    ] = None
    score_threshold: ScoreThreshold = 0.3
    requests: Annotated[
        int | None,
        Setting(
            "Pairs of requests to measure the latency with.", min=10, show_default="as many as 30 s allow, 100 to 1000"
        ),
    ] = None
    runs: Runs = Path("runs")  # the server's log goes there, too
    home: Home = Path(".tritonserver")
    public_key: PublicKey = None
    private_key: PrivateKey = None  # signs the challenger with its verdict
    other_classes: OtherClasses = False  # then only the absolute limits apply
    dry_run: DryRun = False
