"""Where everything is: settings out of the environment, so that the same DAGs fit a laptop and a cluster.

Each is `SIGNS_<NAME>`, in capitals, and has a default that fits a laptop; airflow/README.md lists them. They are read
when Airflow reads the DAGs. A value that makes no sense is an import error, which the interface shows.
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
# What is evaluated on, and what is learned from; also the form checks them.
SPEC = r"^(gtsdb|gtsrb|images|coco|yolo)=\S.*$"
TRAINED = r"^((gtsdb|gtsrb|images|coco|yolo|feedback)=\S.*|synthetic=[1-9][0-9]{0,6})$"
MOST_EPOCHS = 10000
LENGTH = re.compile(r"([0-9]+[smhdw])+")  # of time, as Prometheus writes it
ADDRESS = re.compile(r"([^\s/:@]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
URL = re.compile(r"(https?://[^\s/]\S*)?")  # what is in it may be secret
# Without these nothing can be called, or an empty one would mean another place.
NEEDED = ("command", "home", "data", "evaluation", "runs", "repository", "triton", "helm", "image", "gate_image")
NEEDED_BY = {
    "local": (),
    "kubernetes": ("pods_namespace", "gpu_resource"),
    "server": ("server",),
    "helm": ("release", "namespace", "chart"),
}
NUMBERS = ("epochs", "gpus", "cool_down_hours", "new_entries", "retry_seconds")


class SettingsError(ValueError):
    """A setting makes no sense; the message names it."""


def _here() -> tuple[str, ...]:
    installed = PROJECT / ".venv" / "bin" / "signs"
    return (str(installed),) if installed.exists() else ("signs",)


@dataclass(frozen=True)
class Settings:
    """All settings.

    Attributes:
        command: how `signs` is called here, in the project's own environment.
        home: folder that it works in; other paths may be relative to it.
        run_on: `local`, a process beside Airflow's, or `kubernetes`, a pod.
        data: what is learned from, as `--data` of `signs train` takes it.
        evaluation: the frozen evaluation set, as `--data` of `signs export gate` takes it.
        epochs: of a training that says nothing else; 0 lets `signs train` choose.
        feedback: folder of what users corrected, which is learned from too; empty for none.
        runs: folder of all runs and of MLflow's database.
        repository: model repository that is served: a folder or a bucket's address.
        triton: folder of the tritonserver that the gate starts.
        train_options: more options of `signs train`.
        gate_options: more options of `signs export gate`.
        roll_out: `server` has one that runs load the new version, `helm` upgrades a release.
        server: host:port of that server's HTTP.
        prometheus: address of Prometheus.
        watch_for: how long a new version is watched, as Prometheus writes it.
        watch_window: the time to look back, likewise.
        watch_series: label matchers of the series to look at; empty for all.
        release: name of the Helm release.
        namespace: of the release.
        chart: folder or address of the chart.
        helm: how `helm` is called.
        image: of the pods that train: training/Dockerfile.
        gate_image: of the pod of the gate, which has tritonserver too.
        gpus: that the training asks for.
        gpu_resource: what the nodes call them.
        pods_namespace: where the pods run.
        claim: name of the PersistentVolumeClaim that is the pods' `/srv/signs`; they need one.
        env_secret: name of a Secret whose keys become the pods' environment: MLflow's, the bucket's; empty for none.
        schedule: cron expression of the regular retraining, UTC; empty for none.
        cool_down_hours: least time between two retrainings for drift.
        new_entries: how many new entries of feedback start a retraining.
        retry_seconds: before the first repetition of a failed step; each further one waits twice as long.
        notify_url: is sent {"text": ...} by POST where a step has failed; empty for none.
    """

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
            raise SettingsError("SIGNS_CLAIM is empty: name a claim, the pods hand files on to each other through it")
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
                raise SettingsError(f"SIGNS_{name.upper()} is no address: write http://HOST:PORT or https://HOST")
        for name in ("watch_for", "watch_window"):
            if not LENGTH.fullmatch(getattr(self, name)):
                raise SettingsError(f"SIGNS_{name.upper()}={getattr(self, name)}: write 60s, 90m, 1h30m or 2d")


def _expanded(word: str) -> str:
    """Returns a path with the home folder in place of `~`: no shell reads the environment of Airflow."""
    return str(Path(word).expanduser()) if word.startswith("~/") else word


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads the settings.

    Args:
        environment: variables by name.

    Raises:
        SettingsError: one makes no sense.
    """
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
