"""The commands in hostile surroundings, each as a process of its own with a real server, and what they send outside.

Folders have a space, an umlaut, a bracket and an apostrophe in their names; every variable of a proxy names one that is
not there; there is no HOME, or one that cannot be written to; LC_ALL is C and the umask 077; nobody stands in the
project's folder; no other variable is inherited. Where the kernel allows it, all of it runs in a network of its own, in
which everything that leaves the machine is counted: nothing may.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from serving.install import Installation
from serving.server import free_ports
from tests.airflow.small_data import write_small_gtsdb
from tests.end_to_end.surroundings import OUTSIDE
from tests.odd_places import ODD_NAME, odd_home

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]

SIGNS = Path(sys.executable).with_name("signs")
DRIVER = Path(__file__).with_name("surroundings.py")
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount")
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "grpc_proxy")


def can_close_the_network() -> bool:
    """Returns whether this machine lets its users have networks of their own."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    trial = "ip link add out type veth peer name other && mount --bind /etc/hosts /etc/resolv.conf"
    return subprocess.run([*UNSHARE, "sh", "-c", trial], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def is_closed() -> bool:
    return can_close_the_network()


@pytest.fixture(scope="module")
def results(
    installation: Installation, is_closed: bool, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What each step did, by its name."""
    place = tmp_path_factory.mktemp("surroundings")
    odd = place / ODD_NAME
    home = odd_home(installation, place)
    data = write_small_gtsdb(odd / "FullIJCNN2013", train=20, test=12)
    with Image.open(data / "00600.jpg") as scene:
        scene.crop((0, 28, 28, 56)).save(odd / "sign é [1].png")
    empty, read_only = place / "elsewhere", place / "read only"
    empty.mkdir()
    read_only.mkdir(mode=0o500)
    proxy = f"http://{OUTSIDE}:3128" if is_closed else f"http://127.0.0.1:{_dead_port()}"
    ports = free_ports()

    def step(name: str, *arguments: object, until: str = "", then: Any = None, **variables: str) -> dict[str, Any]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "OMP_NUM_THREADS": "1",
            **dict.fromkeys(PROXIES, proxy),
            **variables,
        }
        command = [str(SIGNS), *map(str, arguments)]
        return {
            "name": name,
            "command": command,
            "cwd": str(empty),
            "environment": environment,
            "until": until,
            "then": then,
        }

    spec, runs = f"gtsdb={data}", odd / "runs"
    repository = runs / "model_repository"
    own = ("--home", home)
    predict = step(
        "predict", "predict", odd / "sign é [1].png", "--crops", "--json", "--url", f"localhost:{ports.grpc}"
    )
    listen = ("--http-port", ports.http, "--grpc-port", ports.grpc, "--metrics-port", ports.metrics)
    log = ("--log", odd / "server.log")
    steps = [
        step("check", "data", "check", spec),
        step("demo", "demo", "--data", data, "--epochs", 2, "--name", "demo", "--runs", runs, *own),
        step("train", "train", "classifier", "--data", spec, "--epochs", 1, "--name", "small", "--runs", runs),
        step(
            *("gate", "export", "gate", "sign_classifier", "--data", spec, "--repository", repository, "--runs", runs),
            *("--min-score", 0, "--class-floor", 0, *own),
        ),
        step("serve", "serve", "--repository", repository, *own, *listen, *log, until="stop: Ctrl-C", then=predict),
        step(
            *("evaluate", "evaluate", repository / "sign_classifier/1", "--data", spec, "--output", odd / "out [/red]"),
            HOME=str(read_only),
        ),
        step("early", "data", "check", spec, until="\n"),
        {
            **step("closed"),
            "command": ["sh", "-c", 'exec "$0" "$@" >&-', str(SIGNS), "data", "check", spec],
        },
    ]
    return _run(steps, place, is_closed, read_only)


def _run(steps: Sequence[dict[str, Any]], place: Path, is_closed: bool, *read_only: Path) -> dict[str, dict[str, Any]]:
    wanted, found = place / "steps.json", place / "results.json"
    wanted.write_text(json.dumps(steps))
    driver = [sys.executable, str(DRIVER), str(wanted), str(found)]
    done = subprocess.run(
        [*UNSHARE, *driver, "closed", *map(str, read_only)] if is_closed else driver, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {each["name"]: each for each in json.loads(found.read_text())}


def _dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("name", ["check", "demo", "train", "gate", "evaluate"])
def test_a_step_does_its_work(results: dict[str, dict[str, Any]], name: str) -> None:
    done = results[name]
    assert done["code"] == 0, done["out"] + done["err"]
    assert "Traceback" not in done["err"] and "Error" not in done["err"]


def test_a_server_serves_and_a_client_asks_it(results: dict[str, dict[str, Any]]) -> None:
    served = results["serve"]
    assert served["code"] == 143, served["out"] + served["err"]
    assert served["then"]["code"] == 0, served["then"]["out"] + served["then"]["err"]
    answer = json.loads(served["then"]["out"])
    assert "sign é [1].png" in json.dumps(answer, ensure_ascii=False)


def test_names_are_printed_as_they_are(results: dict[str, dict[str, Any]]) -> None:
    assert "out [/red]" in results["evaluate"]["out"]
    assert ODD_NAME in results["serve"]["out"]


@pytest.mark.parametrize("name", ["early", "closed"])
def test_nobody_who_reads_is_no_fault(results: dict[str, dict[str, Any]], name: str) -> None:
    assert "Traceback" not in results[name]["err"] and "Exception" not in results[name]["err"]


def test_nothing_leaves_the_machine(results: dict[str, dict[str, Any]], is_closed: bool) -> None:
    if not is_closed:
        pytest.skip("this machine lets nobody have a network of his own: unshare --user --net")
    assert {name: each["sent"] for name, each in results.items() if each["sent"]} == {}


def test_what_leaves_the_machine_is_counted(is_closed: bool, tmp_path: Path) -> None:
    """The counter itself: a step that looks up a name, and one that connects, are seen."""
    if not is_closed:
        pytest.skip("this machine lets nobody have a network of his own: unshare --user --net")
    codes = {
        "name": "import socket; socket.getaddrinfo('example.com', 80)",
        "address": f"import socket; socket.create_connection(('{OUTSIDE}', 80), timeout=0.5)",
        "here": "print(1)",
    }
    steps = [
        {"name": name, "command": [sys.executable, "-c", code], "cwd": str(tmp_path), "environment": dict(os.environ)}
        for name, code in codes.items()
    ]
    found = _run(steps, tmp_path, True)
    assert found["name"]["sent"] and found["address"]["sent"] and not found["here"]["sent"]
