"""The settings of the gate, and the limits of its rules."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import BaseSettings, Home, Repository, Runs, Setting
from training.data.records import Split


@dataclass(frozen=True)
class Limits(BaseSettings):
    """The limits of the rules; `min_score` is for a first champion, which has nothing to be compared with."""

    significance: Annotated[
        float, Setting("How often each test may refuse an equal challenger by chance.", min=1e-6, max=0.5)
    ] = 0.05
    max_loss: Annotated[
        float, Setting("Largest fall of accuracy or signs found, chance or not; of mAP50.", min=0, max=1)
    ] = 0.005
    class_floor: Annotated[float, Setting("Recall below which a class has collapsed.", min=0, max=1)] = 0.5
    min_score: float = 0.9
    max_latency_ratio: Annotated[
        float, Setting("Largest ratio of latencies to the champion's, at the median and at p99.", min=0)
    ] = 1.25
    max_p99_ms: Annotated[float | None, Setting("Largest p99 of single requests in ms.", min=0, show_default="any")] = (
        None
    )
    max_size_ratio: Annotated[float, Setting("Largest ratio of sizes to the champion's.", min=0)] = 2.0
    # In 1,000,000 bytes.
    max_size_mb: Annotated[float | None, Setting("Largest size of all files in MB.", min=0, show_default="any")] = None


@dataclass(frozen=True)
class GateConfig(BaseSettings):
    """What the gate compares, on which data, and how."""

    model: Annotated[str, Setting("sign_classifier, sign_detector.", argument=True)]
    data: Annotated[str, Setting("The evaluation set, gtsdb=PATH, gtsrb=PATH or feedback=PATH: a folder or zip.")]
    repository: Repository = "model_repository"
    challenger: Annotated[int | None, Setting("Version to evaluate.", min=1, show_default="the newest")] = None
    champion: Annotated[
        int | None,
        Setting(
            "Version to compare it with.",
            min=1,
            show_default="the champion; before any promotion the newest earlier one that is not refused",
        ),
    ] = None
    split: Annotated[Split, Setting("test or train.")] = "test"
    fingerprint: Annotated[
        str, Setting("Beginning of the evaluation set's; another set is an error.", show_default=False)
    ] = ""
    limits: Limits = field(default_factory=Limits)
    # In place of that in `limits`, which depends on the kind of model.
    min_score: Annotated[
        float | None, Setting("Of a first champion.", min=0, max=1, show_default="0.9; of a detector 0.5")
    ] = None
    score_threshold: Annotated[
        float, Setting("Of a detector: the score from which on a sign counts as found.", min=0, max=1)
    ] = 0.3
    requests: Annotated[
        int | None, Setting("Pairs of requests to time.", min=10, show_default="100 to 1000, what 30 s allow")
    ] = None
    runs: Runs = Path("runs")  # the server's log goes there, too
    home: Home = Path(".tritonserver")
    public_key: Annotated[
        Path | None, Setting("PEM file: both must be signed with its private half.", show_default=False)
    ] = None
    private_key: Annotated[
        Path | None, Setting("PEM file: sign the challenger, verdict included.", show_default=False)
    ] = None
    other_classes: Annotated[
        bool,
        Setting("Apply only the floors if the champion has other classes.", flags=("--other-classes",)),
    ] = False
    dry_run: Annotated[bool, Setting("Compare them, and record nothing.", flags=("--dry-run",))] = False
