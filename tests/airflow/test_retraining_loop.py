"""`retrain_traffic_signs` through a real scheduler, with a real tritonserver, Prometheus and MLflow.

One Airflow for all: a better challenger is served; one that learned from swapped labels is refused; data that is
broken stops at the audit; a task that is killed while it publishes publishes once; where the new version is slower, or
no server answers at the roll-out, the champion before comes back. Somebody asks the server all the time.
"""

import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pytest

from export.config import Serving, to_text, warm_up_path
from export.repository import Manifest, champion, load_manifest, publish, versions
from export.repository.store import open_store
from export.repository.verification import verify
from serving.install import Installation
from serving.server import RELOADABLE, RunningServer, running_server, served_versions, stop
from tests.airflow.airflow_environment import airflow_environment
from tests.airflow.running_airflow import LONG_S, Airflow, running_airflow
from tests.airflow.small_data import write_small_gtsdb
from tests.network_configs import classifier_config
from tests.running_prometheus import running_prometheus, wait_until
from tests.training.data.own_data import write_image_folders
from traffic_sign_client import SignClient
from traffic_signs.classes import CLASS_NAMES

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
DAG, MODEL = "retrain_traffic_signs", "sign_classifier"
EPOCHS = 6
# Drift that is always alerted: what makes the alert fire is tested with the rules.
RULES = """groups:
  - name: drift
    rules:
      - {alert: SignsDrift, expr: vector(1), labels: {retrain: "true", feature: scene_brightness, version: "1"}}
      - {alert: SignsDown, expr: vector(1)}
"""
TRAP = "kill-while-publishing"
# What stands in for the installed command. Where the trap lies, it dies just before the new version appears, and the
# task of Airflow's that called it with it: so nobody can clean up.
SIGNS = """#!{python}
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
trap = Path({trap!r})
if sys.argv[1:3] == ["repository", "publish"] and trap.exists():
    trap.unlink()
    def watch(event, arguments):
        if event == "os.rename" and Path(os.fsdecode(arguments[1])).name.isdigit():
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
from clients.command.main import main
main()
"""


class Asker:
    """Asks a server over and over, and notes each failure."""

    def __init__(self, url: str, crops: npt.NDArray[np.uint8]) -> None:
        self.url, self.crops = url, crops
        self.answered = 0
        self.failures: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with SignClient(self.url, retries=0, timeout=120) as client:
            while not self._stopping.is_set():
                try:
                    client.probabilities(self.crops)
                    self.answered += 1
                except Exception as error:
                    self.failures.append(str(error))
                time.sleep(0.05)


@dataclass
class World:
    """All that the loop works on.

    Attributes:
        home: folder of it.
        repository: that is served.
        airflow: that does the work.
        installation: of tritonserver.
        server: that serves the repository.
    """

    home: Path
    repository: Path
    airflow: Airflow
    installation: Installation
    server: RunningServer

    def run(self, name: str, **params: Any) -> str:
        """Has the DAG run with these parameters; returns how that ended."""
        self.airflow.trigger(DAG, name, **params)
        return self.airflow.end_of(DAG, name)

    def facts(self, name: str, task: str) -> Any:
        return self.airflow.value(DAG, name, task)

    def content(self) -> dict[str, bytes]:
        paths = (path for path in self.repository.rglob("*") if path.is_file() and path.name != ".lock")
        return {path.relative_to(self.repository).as_posix(): path.read_bytes() for path in paths}

    def why(self, name: str) -> str:
        """Returns what to read where a run ended in another way than it should have."""
        states = self.airflow.states(DAG, name)
        failed = [task for task, state in states.items() if state == "failed"]
        return json.dumps(states) + "".join(
            f"\n--- {each}\n{self.airflow.said(DAG, name, each)[-3000:]}" for each in failed
        )


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, installation: Installation, repository: Path, manifest: Manifest
) -> Iterator[World]:
    airflow_environment()
    home = tmp_path_factory.mktemp("loop")
    write_small_gtsdb(home / "good")
    write_small_gtsdb(home / "swapped", swapped=True)
    write_small_gtsdb(home / "broken")
    (home / "broken" / "00003.jpg").write_bytes(b"no picture")
    served = home / "model_repository"
    publish_untrained(served, repository / MODEL / "1" / "model.onnx")
    command = home / "signs"
    command.write_text(SIGNS.format(python=sys.executable, root=str(ROOT), trap=str(home / TRAP)))
    command.chmod(0o755)
    with (
        running_server(installation, served, home / "triton.log", extra_arguments=RELOADABLE) as server,
        running_prometheus(
            home, server.metrics_url.removeprefix("http://").removesuffix("/metrics"), RULES
        ) as prometheus,
    ):
        settings = {
            "SIGNS_COMMAND": str(command),
            "SIGNS_HOME": str(home),
            "SIGNS_DATA": "gtsdb=good",
            "SIGNS_EVALUATION": "gtsdb=good",
            "SIGNS_EPOCHS": str(EPOCHS),
            "SIGNS_TRITON": str(ROOT / ".tritonserver"),
            "SIGNS_TRAIN_OPTIONS": "--batch-size 16 --device cpu --precision fp32 --workers 0",
            # What is measured here is the machine's load; whether the answers are right is what counts.
            "SIGNS_GATE_OPTIONS": "--requests 10 --max-latency-ratio 100",
            "SIGNS_SERVER": server.http_url,
            "SIGNS_PROMETHEUS": prometheus,
            "SIGNS_WATCH_FOR": "30s",
            "SIGNS_WATCH_WINDOW": "1m",
            "SIGNS_SCHEDULE": "",
            "SIGNS_RETRY_SECONDS": "1",
            "OMP_NUM_THREADS": "1",  # threads that wait for each other are slow on a busy machine
        }
        with running_airflow(home / "airflow", settings) as airflow:
            airflow.wait_until_ready(DAG)
            yield World(home, served, airflow, installation, server)


def publish_untrained(place: Path, model: Path) -> None:
    """Publishes a network of random weights as version 1; it waits for more requests, so any other is faster."""
    config = classifier_config(MODEL, 48, len(CLASS_NAMES), Serving(64))
    config.dynamic_batching.max_queue_delay_microseconds = 200_000
    shared = {"config.pbtxt": to_text(config), "labels.txt": "\n".join(CLASS_NAMES) + "\n"}
    files = {"model.onnx": model.read_bytes(), warm_up_path(config): bytes(48 * 48 * 3)}
    parity = {"samples": 9, "max_difference": 0.0, "mean_difference": 0.0, "disagreements": 0, "real_samples": 0}
    publish(place, MODEL, files, shared, {"precision": "fp32", "opset": 20, "ir_version": 10, "parity": parity})


@pytest.fixture(scope="module")
def first(world: World, random_crops: npt.NDArray[np.uint8]) -> Iterator[Asker]:
    """The first run, which publishes and rolls out version 2; somebody asks the server from then on."""
    with Asker(world.server.grpc_url, random_crops[:2]) as asker:
        wait_until(lambda: asker.answered > 20 or bool(asker.failures), "the server does not answer")
        assert world.run("first", reason="the first") == "success", world.why("first")
        yield asker


def test_a_better_version_is_published_gated_promoted_and_served(world: World, first: Asker) -> None:
    states = world.airflow.states(DAG, "first")
    assert {task for task, state in states.items() if state == "skipped"} == {"keep_champion", "roll_back", "restore"}
    assert versions(world.repository, MODEL) == [1, 2] and champion(open_store(world.repository), MODEL) == 2
    assert served_versions(world.server) == [(MODEL, "2")]
    assert world.facts("first", "gate")["passed"] and world.facts("first", "evaluate")["accuracy"] > 0.9
    assert world.facts("first", "watch")["state"] == "fine"
    assert first.failures == [] and first.answered > 100


def test_lineage_goes_from_what_is_served_back_to_data_and_commit(world: World, first: Asker) -> None:
    manifest = load_manifest(world.repository, MODEL, 2)
    assert manifest.gate["passed"] is True and manifest.source["git_commit"]
    client = mlflow.MlflowClient(f"sqlite:///{world.home / 'runs' / 'mlflow.db'}")
    best = client.get_model_version_by_alias(MODEL, "champion")
    assert best.run_id == manifest.source["run_id"] == world.facts("first", "confirm")["run_id"]
    assert best.tags["gate"] == "passed"
    run = client.get_run(best.run_id)
    assert manifest.data["fingerprint"] in run.data.params.values()
    assert run.info.run_name == world.facts("first", "plan")["name"]
    events = world.airflow.ask("/api/v2/assets/events")["asset_events"]
    assert [each["extra"]["version"] for each in events if each["name"] == f"traffic_signs_{MODEL}"] == [2]


@pytest.mark.long
def test_where_nothing_is_new_nothing_is_trained(world: World, first: Asker) -> None:
    before = world.content()
    assert world.run("again") == "success", world.why("again")
    states = world.airflow.states(DAG, "again")
    assert states["something_new"] == "success" and states["train"] == states["publish"] == "skipped"
    assert "version 2 was trained on the same data" in world.airflow.said(DAG, "again", "something_new")
    assert world.content() == before


@pytest.mark.long
def test_drift_starts_one_retraining_with_its_reason_and_then_none_for_a_while(world: World, first: Asker) -> None:
    watch = "watch_drift"
    world.airflow.unpause(watch)
    for run in ("look", "look-again"):
        world.airflow.trigger(watch, run)
        assert world.airflow.end_of(watch, run) == "success"
    runs = world.airflow.runs(DAG)
    (started,) = (each for each in runs if each["dag_run_id"].startswith("drift__"))
    assert started["conf"]["reason"] == "drift: SignsDrift (feature scene_brightness, version 1)"
    world.airflow.unpause(watch, paused=True)
    assert world.airflow.end_of(DAG, started["dag_run_id"]) == "success"
    last = world.airflow.states(watch, "look-again")
    assert last["decide"] == "success" and last["retrain"] == "skipped"


@pytest.mark.long
def test_a_worse_challenger_ends_green_with_the_verdict_and_nothing_published(world: World, first: Asker) -> None:
    before = world.content()
    assert world.run("worse", data=["gtsdb=swapped"], epochs=2) == "success", world.why("worse")
    states = world.airflow.states(DAG, "worse")
    assert states["keep_champion"] == "success" and states["publish"] == states["confirm"] == "skipped"
    lines = world.facts("worse", "keep_champion")
    assert (
        "is refused for its" in lines[0] and "version 2 stays" in lines[0] and any("accuracy" in each for each in lines)
    )
    assert world.content() == before and served_versions(world.server) == [(MODEL, "2")]


@pytest.mark.long
def test_data_with_other_classes_ends_before_the_training_unless_the_run_allows_it(world: World, first: Asker) -> None:
    before, own = world.content(), f"images={write_image_folders(world.home / 'own', 30)}"
    assert world.run("own", data=[own], evaluation=own) == "failed"
    states = world.airflow.states(DAG, "own")
    assert states["something_new"] == "failed" and states["train"] == "upstream_failed"
    assert world.airflow.tries(DAG, "own", "something_new") == 1
    said = world.airflow.said(DAG, "own", "something_new")
    assert "new: blue disc" in said and "with the parameter other_classes" in said
    assert world.run("allowed", data=[own], evaluation=own, other_classes=True, dry_run=True) == "success"
    verdict = world.facts("allowed", "gate")["verdict"]
    assert "sign_classifier" in verdict, world.why("allowed")
    assert world.content() == before and first.failures == []


@pytest.mark.long
def test_broken_data_stops_at_the_audit(world: World, first: Asker) -> None:
    before = world.content()
    assert world.run("broken", data=["gtsdb=broken"]) == "failed"
    states = world.airflow.states(DAG, "broken")
    assert states["audit"] == "failed" and states["train"] == "upstream_failed" and states["roll_back"] == "skipped"
    assert world.airflow.tries(DAG, "broken", "audit") == 1, "to look again would find the same"
    said = world.airflow.said(DAG, "broken", "audit")
    assert "00003.jpg" in said and "do:  Read the report" in said
    assert world.content() == before and first.failures == []


@pytest.mark.long
def test_killed_while_publishing_it_publishes_once_and_slower_than_before_it_is_taken_back(
    world: World, first: Asker
) -> None:
    (world.home / TRAP).touch()
    world.airflow.trigger(DAG, "killed", epochs=EPOCHS + 1, reason="killed")
    deadline = time.monotonic() + LONG_S
    while served_versions(world.server) == [(MODEL, "2")] and time.monotonic() < deadline:
        time.sleep(0.5)
    few, first.crops = first.crops, np.repeat(first.crops, 32, axis=0)  # takes longer, for which it gets the blame
    assert world.airflow.end_of(DAG, "killed") == "failed"
    first.crops = few
    states = world.airflow.states(DAG, "killed")
    assert not (world.home / TRAP).exists() and world.airflow.tries(DAG, "killed", "publish") == 2
    assert states["publish"] == states["promote"] == states["roll_out"] == "success", world.why("killed")
    assert world.facts("killed", "publish")["version"] in versions(world.repository, MODEL)
    assert len(versions(world.repository, MODEL)) == 3, "it was published once"
    assert not any(check.problems for check in verify(world.repository))
    assert (states["watch"], states["confirm"]) == ("failed", "upstream_failed")
    assert "the new version is worse: Slower" in world.airflow.said(DAG, "killed", "watch")
    assert states["roll_back"] == states["restore"] == "success", world.why("killed")
    assert champion(open_store(world.repository), MODEL) == 2 and served_versions(world.server) == [(MODEL, "2")]
    assert first.failures == [], "nobody was ever refused"


@pytest.mark.long
def test_promoted_again_without_a_server_the_champion_comes_back(world: World, first: Asker) -> None:
    """Takes up the run of the test before."""
    first.__exit__()
    stop(world.server.process)
    world.airflow.clear(DAG, "killed", "promote")
    assert world.airflow.end_of(DAG, "killed") == "failed"
    states = world.airflow.states(DAG, "killed")
    assert states["promote"] == "success", world.why("killed")
    assert (states["roll_out"], states["roll_back"], states["watch"]) == ("failed", "success", "upstream_failed")
    assert champion(open_store(world.repository), MODEL) == 2
    client = mlflow.MlflowClient(f"sqlite:///{world.home / 'runs' / 'mlflow.db'}")
    best = client.get_model_version_by_alias(MODEL, "champion")
    assert best.run_id == load_manifest(world.repository, MODEL, 2).source["run_id"]
    with running_server(world.installation, world.repository, world.home / "again.log") as server:
        assert served_versions(server) == [(MODEL, "2")]
