"""Everything that watches, started for a test: Triton, exporters, Pushgateway, Prometheus, Alertmanager, a receiver.

The rules are the project's own in a copy that runs faster: every duration in brackets is 60 times shorter (`[5m]` is
5 s, `[1h]` a minute), so is every `keep_firing_for`; every `for` is 120 times shorter (`2m` is 1 s); groups are
evaluated twice a second. Nothing else differs.
"""

import contextlib
import itertools
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from prometheus_client import CollectorRegistry, start_http_server

from clients import SignClient
from clients.errors import ClientError, RefusedError
from export.config import to_text
from export.recognizer import export_recognizer
from export.repository import promote
from export.repository.policy import read_config
from monitoring.repository import listening
from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.end_to_end.street import encode, street
from tests.end_to_end.substitute_gateway import (
    OVERLOADED,
    REFUSED,
    UNAVAILABLE,
    Gateway,
    publish_drift,
    publish_gpu,
)
from tests.monitoring.programs import free_port, get_json, running, wait_until
from tests.monitoring.receiver import Receiver, receiving
from tests.monitoring.rule_files import MONITORING, RULE_FILES
from tests.red_detector import CELL, publish_red_detector
from training.data.pictograms import render

SHIPPED = MONITORING.parent / "model_repository" / "sign_classifier"
# Requests of a good month: against a minute of history a test's fault would be the service's whole life.
HISTORY = 200_000
STOP = 14  # the sign with the most red in it, which is what the detector of red cells sees
VERSIONS = ("1", "2")


def prepare_repository(folder: Path) -> None:
    """Publishes a detector, the classifier that comes along and a recognizer in two versions, both served."""
    shutil.copytree(SHIPPED, folder / "sign_classifier")
    publish_red_detector(folder)
    for _ in VERSIONS:
        export_recognizer(folder)
    for model in ("sign_classifier", "sign_detector", "sign_recognizer"):
        promote(folder, model, 1, "the first")
    path = folder / "sign_recognizer" / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    config.version_policy.all.SetInParent()
    path.write_text(to_text(config))


def photographs(is_camera_broken: bool) -> list[bytes]:
    """Returns ten photographs, nine of them with stop signs.

    Of a broken camera three are files that end in the middle, and of the others every block stands on its head.
    """
    sign = render(STOP, CELL)
    files = []
    for seed in range(10):
        pixels = np.asarray(street([], seed=seed)).copy()
        for column, row in [(1 + seed % 3, 2), (8, 1 + seed % 5), (13, 7)] if seed else []:
            place = pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            cover = sign[..., 3:] / 255
            place[:] = (place * (1 - cover) + sign[..., :3] * cover).astype(np.uint8)
        if is_camera_broken:
            half = CELL // 2  # four blocks a sign
            blocks = pixels.reshape(pixels.shape[0] // half, half, pixels.shape[1] // half, half, 3)
            pixels = blocks[:, ::-1, :, ::-1].reshape(pixels.shape)
        files.append(encode(Image.fromarray(pixels), "JPEG", quality=95))
    if is_camera_broken:
        files[7:] = [file[: len(file) // 2] for file in files[7:]]
    return files


class Traffic:
    """Sends photographs to both versions of the recognizer, as a gateway would, until the block ends.

    Attributes:
        is_camera_broken: what is sent.
        pause_s: between two photographs of a sender; without one it is as fast as it can.
    """

    def __init__(self, server: RunningServer, gateway: Gateway) -> None:
        self.is_camera_broken = False
        self.pause_s = 0.1
        self._photographs = {is_broken: photographs(is_broken) for is_broken in (False, True)}
        self._server, self._gateway = server, gateway
        self._refused = 0  # requests for each that is sent
        self._stopping = threading.Event()
        self._senders: list[threading.Thread] = []

    def __enter__(self) -> "Traffic":
        self.add_senders(2)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        for sender in self._senders:
            sender.join()

    def add_senders(self, count: int) -> None:
        """Starts so many more senders, one after the other for each version."""
        for version in itertools.islice(itertools.cycle(VERSIONS), count):
            self._senders.append(threading.Thread(target=self._send, args=(version,)))
            self._senders[-1].start()

    @contextlib.contextmanager
    def flood(self, senders: int) -> Iterator[None]:
        """Has so many senders more send as fast as they can while the block runs."""
        with Traffic(self._server, self._gateway) as flooding:
            flooding.pause_s = 0
            flooding.add_senders(senders)
            yield

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Has the gateway refuse more than it takes while the block runs."""
        self._refused = 5
        try:
            yield
        finally:
            self._refused = 0

    def _send(self, version: str) -> None:
        with SignClient(self._server.grpc_url, recognizer=f"sign_recognizer/{version}") as client:
            for number in itertools.count():
                if self._stopping.is_set():
                    return
                data = self._photographs[self.is_camera_broken][number % 10]
                began, status = time.monotonic(), 200
                with self._gateway.answering():
                    try:
                        client.recognize(data)
                    except RefusedError:
                        status = REFUSED
                    except ClientError as error:
                        status = UNAVAILABLE
                        self._gateway.failed(error)
                # A tenth, for how fast a machine is must not decide whether the objective of 0.5 s is met.
                self._gateway.answered(status, (time.monotonic() - began) / 10, len(data))
                for _ in range(self._refused):
                    self._gateway.answered(OVERLOADED, 0.001, len(data))
                self._stopping.wait(self.pause_s)


@dataclass(frozen=True)
class Stack:
    """All that runs.

    Attributes:
        server: Triton.
        repository: that it serves, and that the exporter reads.
        traffic: what arrives.
        gateway: what counts it.
        prometheus: address of Prometheus.
        alertmanager: address of Alertmanager.
        pushgateway: address of the Pushgateway.
        receiver: what people would have been told.
    """

    server: RunningServer
    repository: Path
    traffic: Traffic
    gateway: Gateway
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
        wait_until(lambda: not self.alerts(), f"no alert is left of {sorted(self.alerts())}")
        wait_until(lambda: not get_json(f"{self.alertmanager}/api/v2/alerts"), "no alert is left in Alertmanager")


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
        receiver = enter(receiving())
        exporter = enter(_exporting(repository))
        gateway, others = Gateway(), CollectorRegistry()
        publish_drift(others, VERSIONS[0])
        publish_gpu(others)
        targets = {
            "triton": server.ports.metrics,
            "gateway": enter(_publishing(gateway.registry)),
            "drift": enter(_publishing(others)),
            "repository": exporter,
            "pushgateway": ports["pushgateway"],
            "alertmanager": ports["alertmanager"],
        }
        for name, arguments in (
            ("pushgateway", []),
            ("alertmanager", [*_alertmanager(receiver, folder), "--cluster.listen-address="]),
            ("prometheus", _prometheus(targets, folder)),
        ):
            listen = f"--web.listen-address=127.0.0.1:{ports[name]}"
            enter(running(name, [listen, *arguments], f"{addresses[name]}/-/ready", folder / f"{name}.log"))
        traffic = enter(Traffic(server, gateway))
        stack = Stack(server, repository, traffic, gateway, receiver=receiver, **addresses)
        wait_until(lambda: bool(stack.query("signs_gateway_requests_total")), "the gateway is watched")
        gateway.has_answered_before(HISTORY)
        yield stack


def faster(rules: str) -> str:
    """Returns the content of a rule file whose durations are as short as this module says."""
    shorter = {"m": 1, "h": 60, "d": 24 * 60}
    rules = re.sub(r"\[(\d+)([mhd])\]", lambda found: f"[{int(found[1]) * shorter[found[2]]}s]", rules)
    rules = re.sub(r" for: (\d+)([mhd])", lambda found: f" for: {int(found[1]) * shorter[found[2]] * 500}ms", rules)
    rules = re.sub(r"keep_firing_for: (\d+)m", r"keep_firing_for: \1s", rules)
    return re.sub(r"\n *interval: \w+", "", rules)


def _prometheus(targets: dict[str, int], folder: Path) -> list[str]:
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
        # Those that run in the test's own process answer when the senders of photographs let them.
        own = job["job_name"] in ("gateway", "drift", "repository")
        job["scrape_interval"] = job["scrape_timeout"] = "2s" if own else "1s"
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    return [f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]


def _alertmanager(receiver: Receiver, folder: Path) -> list[str]:
    config = receiver.configure(folder / "alertmanager")
    content = config.read_text()
    config.write_text(re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", content))
    return [f"--config.file={config}", f"--storage.path={folder / 'alertmanager-data'}"]


def _at(port: int) -> dict[str, list[str]]:
    return {"targets": [f"127.0.0.1:{port}"]}


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
def _publishing(registry: CollectorRegistry) -> Iterator[int]:
    """Publishes metrics of this process; gives the port."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
