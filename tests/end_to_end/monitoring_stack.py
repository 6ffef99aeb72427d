"""Everything that watches, started for a test: Triton, gateways, exporters, Pushgateway, Prometheus, Alertmanager.

The rules are the project's own in a copy that runs faster: every duration in brackets is 60 times shorter (`[5m]` is
5 s, `[1h]` a minute), so is every `for`; every `keep_firing_for` is 30 times shorter, for what it waits for, such as
the warm-up of a model, is no faster; groups are evaluated twice a second. The gateway's objective of 0.5 s is 10 s: how
fast a machine is must not decide whether it is met. Nothing else differs.

All parts are real but the GPU, of which `publish_gpu` says what Triton would. Two things are given: the receiver stands
in for Slack, and Prometheus has already seen the gateways' good month (`write_history`).
"""

import contextlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from clients.gateway.metrics import SECONDS
from export.config import to_text
from export.recognizer import export_recognizer
from export.repository import promote
from export.repository.policy import read_config
from monitoring.repository import listening
from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.end_to_end.monitored_traffic import ROUTE, Traffic, judged_on
from tests.monitoring.programs import IN_MEMORY, free_port, get_json, running, tool, wait_until
from tests.monitoring.receiver import Receiver, receiving
from tests.monitoring.rule_files import MONITORING, RULE_FILES
from tests.monitoring.test_drift_exporter import exporting
from tests.red_detector import publish_red_detector
from tests.running_gateway import RunningGateway, running_gateway

SHIPPED = MONITORING.parent / "model_repository" / "sign_classifier"
VERSIONS = ("1", "2")
# A gateway for each. The first takes more at once than Triton has done in 0.1 s; the second is full with two.
ROOM = (("--concurrency", "48"), ("--concurrency", "1", "--queue", "1"))
PATIENT = ("--timeout", "60")
DRIFT_WINDOW = ("--window", "20s")
HISTORY_S, HISTORY_RATE = 3 * 24 * 60, 300  # the longest window of the rules, 60 times shorter; requests a second


def prepare_repository(folder: Path) -> None:
    """Publishes a detector, the bundled classifier and a recognizer in two versions, both served."""
    shutil.copytree(SHIPPED, folder / "sign_classifier")
    publish_red_detector(folder)
    for _ in VERSIONS:
        export_recognizer(folder, scenes=judged_on(60))
    for model in ("sign_classifier", "sign_detector", "sign_recognizer"):
        promote(folder, model, 1, "the first")
    path = folder / "sign_recognizer" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.version_policy.all.SetInParent()
    path.write_text(to_text(config))


@dataclass(frozen=True)
class Stack:
    """All that runs.

    Attributes:
        server: Triton.
        repository: that it serves, and that the exporter reads.
        gateways: one for each of VERSIONS.
        traffic: what arrives at them.
        prometheus: address of Prometheus.
        alertmanager: address of Alertmanager.
        pushgateway: address of the Pushgateway.
        receiver: the messages that people would have got.
    """

    server: RunningServer
    repository: Path
    gateways: Sequence[RunningGateway]
    traffic: Traffic
    prometheus: str
    alertmanager: str
    pushgateway: str
    receiver: Receiver

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Returns the series that an expression has now."""
        found = get_json(f"{self.prometheus}/api/v1/query", query=expression)
        return list(found["data"]["result"])

    def alerts(self) -> set[str]:
        """Returns the names of all alerts that Prometheus knows of, pending ones too."""
        found = get_json(f"{self.prometheus}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found}

    def wait_until_quiet(self) -> None:
        """Waits until no alert is left anywhere."""
        with contextlib.suppress(pytest.fail.Exception):
            wait_until(lambda: not self.alerts(), "no alert is left")
            wait_until(lambda: not get_json(f"{self.alertmanager}/api/v2/alerts"), "no alert is left in Alertmanager")
            return
        pytest.fail(f"these do not end: {sorted(self.alerts())}")


@contextlib.contextmanager
def running_stack(installation: Installation, folder: Path) -> Iterator[Stack]:
    """Starts everything, waits until every rule has been fed, and stops it after the block."""
    repository = folder / "models"
    repository.mkdir()
    prepare_repository(repository)
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "pushgateway")}
    addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    explicit = ("--model-control-mode=explicit", "--load-model=*")
    with contextlib.ExitStack() as running_now:
        enter = running_now.enter_context
        server = enter(running_server(installation, repository, folder / "triton.log", extra_arguments=explicit))
        gateways = [
            enter(
                running_gateway(server.grpc_url, "--recognizer", f"sign_recognizer/{version}", "--timeout", "60", *room)
            )
            for version, room in zip(VERSIONS, ROOM, strict=True)
        ]
        receiver = enter(receiving())
        drift = enter(exporting(f"127.0.0.1:{ports['prometheus']}", repository, *DRIFT_WINDOW))
        targets = {
            "triton": [server.ports.metrics],
            "gateway": [_port(gateway.url) for gateway in gateways],
            "drift": [_port(drift.url)],
            "repository": [enter(_exporting(repository))],
            "pushgateway": [ports["pushgateway"]],
            "alertmanager": [ports["alertmanager"]],
        }
        write_history(folder / "tsdb")
        for name, arguments in (
            ("pushgateway", IN_MEMORY),
            ("alertmanager", [*_alertmanager(receiver, folder), "--cluster.listen-address="]),
            ("prometheus", _prometheus(targets, enter(publish_gpu()), folder)),
        ):
            listen = f"--web.listen-address=127.0.0.1:{ports[name]}"
            enter(running(name, [listen, *arguments], f"{addresses[name]}/-/ready", folder / f"{name}.log"))
        traffic = enter(Traffic(gateways))
        yield Stack(server, repository, gateways, traffic, receiver=receiver, **addresses)


def write_history(data: Path) -> None:
    """Has a Prometheus that is yet to start find the requests of three days, all of them answered well and quickly.

    Without them a test's fault would be the service's whole life, and no budget would be left after it.

    Args:
        data: folder of its data.
    """
    labels = f'job="gateway",instance="before",route="{ROUTE}",outcome="ok"'
    duration = "signs_gateway_request_duration_seconds"
    names = [f"signs_gateway_requests_total{{{labels}}}", f"{duration}_count{{{labels}}}"]
    edges = [*(str(edge) for edge in SECONDS if edge >= 0.1), "+Inf"]
    names += [f'{duration}_bucket{{{labels},le="{edge}"}}' for edge in edges]
    now = int(time.time())
    lines = [
        f"{name} {HISTORY_RATE * (HISTORY_S - ago)} {now - ago}" for name in names for ago in range(HISTORY_S, 0, -2)
    ]
    text = data.with_name("history.txt")
    text.write_text("\n".join((*lines, "# EOF\n")))
    command = [tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(text), str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def faster(rules: str) -> str:
    """Returns the content of a rule file with the durations and the objective of this module."""
    seconds = {"m": 1, "h": 60, "d": 24 * 60}  # of what takes 60 times as long
    rules = re.sub(r"\[(\d+)([mhd])\]", lambda found: f"[{int(found[1]) * seconds[found[2]]}s]", rules)
    rules = re.sub(r" for: (\d+)([mhd])", lambda found: f" for: {int(found[1]) * seconds[found[2]]}s", rules)
    rules = re.sub(r"keep_firing_for: (\d+)m", lambda found: f"keep_firing_for: {2 * int(found[1])}s", rules)
    return re.sub(r"\n *interval: \w+", "", rules).replace('le="0.5"', 'le="10.0"')


def _prometheus(targets: dict[str, list[int]], gpu: int, folder: Path) -> list[str]:
    place = folder / "prometheus"
    place.mkdir()
    for path in RULE_FILES:
        (place / path.name).write_text(faster(path.read_text()))
    config = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "500ms"}
    config["alerting"]["alertmanagers"][0]["static_configs"] = [_at(targets["alertmanager"])]
    assert {job["job_name"] for job in config["scrape_configs"]} == targets.keys()
    for job in config["scrape_configs"]:
        job["static_configs"] = [_at(targets[job["job_name"]])]
        # Those in Python answer when a busy machine lets them.
        in_python = job["job_name"] in ("gateway", "drift", "repository")
        job["scrape_interval"] = job["scrape_timeout"] = "2s" if in_python else "1s"
    config["scrape_configs"].append({"job_name": "gpu", "static_configs": [_at([gpu])]})
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    return [f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]


def _alertmanager(receiver: Receiver, folder: Path) -> list[str]:
    config = receiver.configure(folder / "alertmanager")
    content = re.sub(r"group_interval: \w+", "group_interval: 1s", config.read_text())
    # What explains an alert has this time to come after it.
    config.write_text(re.sub(r"group_wait: \w+", "group_wait: 3s", content))
    return [f"--config.file={config}", f"--storage.path={folder / 'alertmanager-data'}"]


def _at(ports: Sequence[int]) -> dict[str, list[str]]:
    return {"targets": [f"127.0.0.1:{port}" for port in ports]}


def _port(url: str) -> int:
    return int(urlsplit(url).port or 0)


@contextlib.contextmanager
def _exporting(repository: Path) -> Iterator[int]:
    """Runs the exporter of the repository; gives its port."""
    with listening(str(repository), "127.0.0.1", 0, print) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def publish_gpu() -> Iterator[int]:
    """Publishes Triton's metrics of a GPU that is half full; yields the port."""
    registry = CollectorRegistry()
    for name, value in (
        ("utilization", 0.4),
        ("memory_total_bytes", 80e9),
        ("memory_used_bytes", 40e9),
        ("power_usage", 200),
        ("power_limit", 700),
    ):
        Gauge(f"nv_gpu_{name}", "Of a GPU.", ["gpu_uuid"], registry=registry).labels("GPU-0").set(value)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
