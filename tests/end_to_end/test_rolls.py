"""Servers come and go under the load of every kind of client, and no request fails.

Two tritonservers of this machine stand in for old and new pods, HAProxy for the Service in front of them and a name
server for the headless one, which a cluster has and this machine has not. The arguments and times of the servers are
those that Helm renders from the chart.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from export.repository import publish_copy
from serving.install import Installation
from serving.server import Ports, RunningServer, free_ports, running_server
from tests.deploy.linters import ROOT
from tests.end_to_end.street import scrape
from tests.helm.helm_chart import CHART, container, find_helm, named, run_helm
from tests.running_gateway import running_gateway, wait_for
from tests.running_proxies import Names, Proxy, running_names, running_proxy

pytestmark = pytest.mark.end_to_end

OLD, NEW = "127.0.0.1", "127.0.0.2"  # as pods, each has an address of its own and the same port
NOTICED_S = 1.0  # that a cluster's proxies and names need to notice that a pod is ending


@dataclass(frozen=True)
class Times:
    """How the chart has a pod end.

    Attributes:
        arguments: of tritonserver: how long connections live and requests in flight have at the end.
        drain: seconds from the moment that the pod is to end to SIGTERM.
        end: seconds that are then left before SIGKILL.
    """

    arguments: tuple[str, ...]
    drain: float
    end: float


def times_of_the_chart() -> Times:
    values = ["--values", str(CHART / "examples" / "cpu.yaml"), "--set", "models.versions.sign_classifier=1"]
    claim = ["--set", "models.source.pvc.claimName=models"]
    done = run_helm(find_helm("helm"), "template", "signs", str(CHART), *values, *claim)
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    pod = named(objects, "Deployment", "triton")["spec"]["template"]
    server = container(pod, "tritonserver")
    kept = [each for each in server["args"] if re.match(r"--(grpc-max-connection-age|exit-timeout)", each)]
    (seconds,) = re.findall(r"\d+", json.dumps(server["lifecycle"]["preStop"]))
    return Times(tuple(kept), float(seconds), pod["spec"]["terminationGracePeriodSeconds"] - float(seconds))


@dataclass
class Load:
    """A .ci/load.py that runs, and what it printed at its end."""

    process: "subprocess.Popen[str]"
    folder: Path

    def wait_until_it_asks(self) -> None:
        wait_for(lambda: "all kinds of clients ask" in (self.folder / "stderr").read_text())

    def result(self) -> tuple[int, dict[str, Any]]:
        (self.folder / "stop").touch()
        printed, _ = self.process.communicate(timeout=200)
        return self.process.returncode, json.loads(printed)


@contextlib.contextmanager
def running_load(folder: Path, http: str, grpc: str, *options: str) -> Iterator[Load]:
    folder.mkdir()
    addresses = ["--triton-http", http, "--triton-grpc", grpc, "--stop-file", str(folder / "stop")]
    command = [sys.executable, str(ROOT / ".ci" / "load.py"), *addresses, *options]
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    try:
        yield Load(process, folder)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def served(server: RunningServer) -> float:
    """Returns how many requests the classifier of a server has answered."""
    counts = (value for name, value in scrape(server).items() if "request_success" in name and "classifier" in name)
    return sum(counts)


def wait_until_served(server: RunningServer, more: int) -> None:
    """Waits until a server has answered so many more requests."""
    before, deadline = served(server), time.monotonic() + 120
    while served(server) < before + more:
        assert time.monotonic() < deadline, f"{server.host} answers nothing"
        time.sleep(0.5)


@dataclass
class Service:
    """Where servers are, and what leads to them: the one of the old version and the one of the new."""

    installation: Installation
    repositories: dict[str, Path]
    ports: Ports
    folder: Path
    proxy: Proxy
    names: Names

    @property
    def headless(self) -> str:
        return self.names.target(self.ports.grpc)

    @contextlib.contextmanager
    def server(self, host: str, *arguments: str) -> Iterator[RunningServer]:
        """Starts a server and, once it is ready, leads requests to it."""
        log = self.folder / f"{host}.log"
        with running_server(self.installation, self.repositories[host], log, self.ports, host, arguments) as server:
            self.proxy.let(name_of(host), "ready")
            yield server

    def roll(self, old: RunningServer, new: str, drain: float, end: float) -> None:
        """Ends a server as a cluster ends a pod, and leads to the new one alone."""
        time.sleep(NOTICED_S)
        self.proxy.let(name_of(old.host), "drain")
        self.names.lead_to(new)
        time.sleep(max(0.0, drain - NOTICED_S))
        old.process.terminate()
        try:
            old.process.wait(end)
        except subprocess.TimeoutExpired:
            old.process.kill()  # as a cluster does

    def load(self, name: str, *options: str, http: str = "", grpc: str = "") -> contextlib.AbstractContextManager[Load]:
        return running_load(self.folder / name, http or self.proxy.http, grpc or self.proxy.grpc, *options)


def name_of(host: str) -> str:
    return {OLD: "old", NEW: "new"}[host]


@pytest.fixture(scope="module")
def repositories(recognizer_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Version 1 of the classifier for the old server and a copy of it as version 2 for the new one."""
    newer = tmp_path_factory.mktemp("newer") / "repository"
    shutil.copytree(recognizer_repository, newer)
    publish_copy(newer / "sign_classifier" / "1", newer, again=True)
    return {OLD: recognizer_repository, NEW: newer}


@pytest.fixture
def service(installation: Installation, repositories: dict[str, Path], tmp_path: Path) -> Iterator[Service]:
    """Proxy, name server and gateway, with no server behind them yet."""
    ports = free_ports()
    with (
        running_proxy({"old": (OLD, ports), "new": (NEW, ports)}, tmp_path) as proxy,
        running_names(tmp_path, OLD) as names,
    ):
        yield Service(installation, repositories, ports, tmp_path, proxy, names)
    for left in Path("/dev/shm").glob(f"signs-{ports.grpc}-*"):  # memory of Python models, which a killed server leaves
        left.unlink()


def answered(load: Load) -> dict[str, int]:
    """Ends a load and checks that no request failed; returns how many were answered for each kind of client."""
    code, result = load.result()
    print(json.dumps(result))  # for whoever reads the figures, with `pytest -s`
    for kind, part in result.items():
        assert (part["failed"], part["failures"]) == (0, []), kind
    assert code == 0
    return {kind: sum(part["answered"].values()) for kind, part in result.items()}


def test_a_roll_in_a_hurry_loses_no_request(service: Service) -> None:
    """Connections live for ever and the drain is far shorter than the chart's: who asks again needs neither."""
    hasty = "--exit-timeout-secs=4"
    kinds = ("--kinds", "http-new", "http-kept", "client-stream", "gateway", "--clients", "2", "--want", "1", "2")
    with (
        service.server(OLD, hasty) as old,
        running_gateway(service.headless, "--need", "sign_classifier") as gateway,
    ):
        to_gateway = ("--gateway", gateway.url.removeprefix("http://"))
        with service.load("load", *kinds, *to_gateway) as load:
            load.wait_until_it_asks()
            wait_until_served(old, 100)
            with service.server(NEW, hasty) as new:
                service.names.lead_to(OLD, NEW)
                service.roll(old, NEW, drain=3, end=30)
                wait_until_served(new, 100)
                assert min(answered(load).values()) > 5


@pytest.mark.long
def test_a_killed_server_costs_no_request(service: Service) -> None:
    """One of two is killed: the Python client and the gateway ask elsewhere, as does a proxy, of 300 kB too."""
    service.names.lead_to(OLD, NEW)
    with (
        service.server(OLD) as old,
        service.server(NEW, "--exit-timeout-secs=2") as new,
        running_gateway(service.headless, "--need", "sign_classifier") as gateway,
    ):
        to_gateway = ("--gateway", gateway.url.removeprefix("http://"))
        addresses = f"ipv4:{old.grpc_url},{new.grpc_url}"
        kinds = ("--kinds", "http-kept", "client-stream")
        # So many large ones at once that some are in the hands of the server when it is killed.
        others = ("--kinds", "http-new", "gateway", "--crops", "44", "--clients", "4", "--pause", "0")
        with (
            service.load("names", *kinds, grpc=service.headless) as names,
            service.load("list", *kinds, grpc=addresses) as listed,
            service.load("proxy", *kinds) as proxy,
            service.load("retrying", *others, *to_gateway, http=service.proxy.retrying) as retrying,
        ):
            loads = (names, listed, proxy, retrying)
            for load in loads:
                load.wait_until_it_asks()
            wait_until_served(old, 100)
            old.process.kill()
            wait_until_served(new, 200)
            for load in loads:
                assert min(answered(load).values()) > 5


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_upgrade_and_rollback_at_the_pace_of_the_chart_lose_no_request(service: Service) -> None:
    """With every kind of client and the chart's own times; plain gRPC clients, which ask once, depend on them."""
    times = times_of_the_chart()
    with (
        service.server(OLD, *times.arguments) as old,
        running_gateway(service.headless, "--need", "sign_classifier") as gateway,
    ):
        options = ("--gateway", gateway.url.removeprefix("http://"), "--triton-grpc-all", service.headless)
        with service.load("load", *options, "--clients", "2", "--pause", "0", "--want", "1", "2") as load:
            time.sleep(10)
            with service.server(NEW, *times.arguments) as new:
                service.names.lead_to(OLD, NEW)
                time.sleep(5)
                service.roll(old, NEW, times.drain, times.end)
                time.sleep(10)
                with service.server(OLD, *times.arguments):
                    service.names.lead_to(OLD, NEW)
                    time.sleep(5)
                    service.roll(new, OLD, times.drain, times.end)
                    time.sleep(10)
                    counts = answered(load)
                    assert len(counts) == 6 and min(counts.values()) > 500
                    assert sum(counts.values()) >= 20_000


@pytest.mark.long
def test_a_drain_that_the_chart_refuses_loses_requests(service: Service) -> None:
    """So the test above can fail: plain gRPC clients still ask a server that has unloaded its models."""
    times = times_of_the_chart()
    options = ("--kinds", "grpc", "grpc-round-robin", "--triton-grpc-all", service.headless, "--pause", "0")
    with service.server(OLD, *times.arguments) as old, service.server(NEW, *times.arguments):
        service.names.lead_to(OLD, NEW)
        with service.load("load", *options) as load:
            load.wait_until_it_asks()
            wait_until_served(old, 20)
            service.roll(old, NEW, drain=2, end=times.end)
            code, result = load.result()
    assert code == 1 and sum(part["failed"] for part in result.values())
