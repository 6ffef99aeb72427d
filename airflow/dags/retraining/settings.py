"""Settings of the DAGs, read from environment variables.

Each is `SIGNS_<NAME>`, in capitals, with a default for a laptop; airflow/settings.md lists them. They are read when
Airflow loads the DAGs. An invalid value is an import error, which the interface shows.
"""

import math
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PLACES = ("local", "kubernetes")
ROLL_OUTS = ("server", "helm")
# Forms of the evaluation set and of the training data; the trigger form checks them, too.
SPEC = r"^(gtsdb|gtsrb|images|coco|yolo)=\S.*$"
TRAINED = r"^((gtsdb|gtsrb|images|coco|yolo|feedback)=\S.*|synthetic=[1-9][0-9]{0,6})$"
MOST_EPOCHS = 10000
LENGTH = re.compile(r"([0-9]+[smhdw])+")  # a duration in Prometheus' format
ADDRESS = re.compile(r"([^\s/:@]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
URL = re.compile(r"(https?://[^\s/]\S*)?")  # may contain a secret
# Settings that must not be empty.
NEEDED = ("command", "home", "data", "evaluation", "runs", "repository", "triton", "helm", "image", "gate_image")
NEEDED_BY = {
    "local": (),
    "kubernetes": ("pods_namespace", "gpu_resource"),
    "server": ("server",),
    "helm": ("release", "namespace", "chart"),
}
NUMBERS = ("epochs", "gpus", "cool_down_hours", "new_entries", "retry_seconds")


class SettingsError(ValueError):
    """A setting is invalid; the message names it."""


def _here() -> tuple[str, ...]:
    installed = PROJECT / ".venv" / "bin" / "signs"
    return (str(installed),) if installed.exists() else ("signs",)


@dataclass(frozen=True)
class Settings:
    """All settings; airflow/settings.md explains each."""

    command: tuple[str, ...] = field(default_factory=_here)
    home: str = str(PROJECT)
    run_on: str = "local"
    data: tuple[str, ...] = ("gtsrb=data/gtsrb", "synthetic=20000")
    evaluation: str = "gtsrb=data/gtsrb"
    epochs: int = 0
    feedback: str = ""
    runs: str = "runs"
    repository: str = "model_repository"
    triton: str = ".tritonserver"
    train_options: tuple[str, ...] = ()
    gate_options: tuple[str, ...] = ()
    roll_out: str = "server"
    server: str = "localhost:8000"
    prometheus: str = "http://localhost:9090"
    watch_for: str = "10m"
    watch_window: str = "5m"
    watch_series: str = ""
    release: str = "signs"
    namespace: str = "signs"
    chart: str = str(PROJECT / "helm" / "traffic-signs")
    helm: tuple[str, ...] = ("helm",)
    image: str = "traffic-signs/training"
    gate_image: str = "traffic-signs/training"
    gpus: int = 1
    gpu_resource: str = "nvidia.com/gpu"
    pods_namespace: str = "airflow"
    claim: str = ""
    env_secret: str = ""
    schedule: str = "0 3 * * 0"
    cool_down_hours: float = 24.0
    new_entries: int = 50
    retry_seconds: float = 30.0
    notify_url: str = ""

    def __post_init__(self) -> None:
        if self.run_on not in PLACES:
            raise SettingsError(f"SIGNS_RUN_ON={self.run_on}: choose {' or '.join(PLACES)}")
        if self.roll_out not in ROLL_OUTS:
            raise SettingsError(f"SIGNS_ROLL_OUT={self.roll_out}: choose {' or '.join(ROLL_OUTS)}")
        if self.run_on == "kubernetes" and not self.claim:
            raise SettingsError("SIGNS_CLAIM is empty: name a claim, through which the pods share files")
        for name in (*NEEDED, *NEEDED_BY[self.run_on], *NEEDED_BY[self.roll_out]):
            if not getattr(self, name):
                raise SettingsError(f"SIGNS_{name.upper()} is empty: leave it out for the default")
        for name in NUMBERS:
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"SIGNS_{name.upper()}={getattr(self, name)}: give 0 or more")
        if self.epochs > MOST_EPOCHS:
            raise SettingsError(f"SIGNS_EPOCHS={self.epochs}: give {MOST_EPOCHS} at most")
        for name, pattern, specs in (("DATA", TRAINED, self.data), ("EVALUATION", SPEC, (self.evaluation,))):
            if not all(re.search(pattern, spec) for spec in specs):
                forms = "gtsrb=, gtsdb=, images=, coco= or yolo=PATH" + (" or synthetic=N" if name == "DATA" else "")
                raise SettingsError(f"SIGNS_{name}={shlex.join(specs)}: write {forms}")
        if self.roll_out == "server" and not ADDRESS.fullmatch(self.server):
            raise SettingsError(f"SIGNS_SERVER={self.server}: write host:port of the server's HTTP, without http://")
        for name in ("prometheus", "notify_url"):
            if not URL.fullmatch(getattr(self, name)):
                raise SettingsError(f"SIGNS_{name.upper()} is not a URL: write http://HOST:PORT or https://HOST")
        for name in ("watch_for", "watch_window"):
            if not LENGTH.fullmatch(getattr(self, name)):
                raise SettingsError(f"SIGNS_{name.upper()}={getattr(self, name)}: write 60s, 90m, 1h30m or 2d")


def _expanded(word: str) -> str:
    """Expands a leading `~/`, because no shell reads Airflow's environment."""
    return str(Path(word).expanduser()) if word.startswith("~/") else word


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the settings from environment variables; raises SettingsError if one is invalid."""
    given: dict[str, object] = {}
    for name, default in vars(Settings()).items():
        variable = f"SIGNS_{name.upper()}"
        text = environment.get(variable)
        if text is None:
            continue
        try:
            if isinstance(default, tuple):
                given[name] = tuple(map(_expanded, shlex.split(text)))
            else:
                given[name] = type(default)(_expanded(text))
        except ValueError as error:
            raise SettingsError(f"{variable}={text}: {error}") from error
    return Settings(**given)  # type: ignore[arg-type]
