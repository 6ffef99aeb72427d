"""Tests of .ci/ask_bundled.py, which decides whether a release is signed, on the bundled models and real servers.

NVIDIA's image cannot be had here: the script runs against the server from PyPI, and says so where the backend of the
image is wanted. The containers around it, .ci/try-serving, are tried by the workflow alone.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.deploy.linters import ROOT
from tests.running_gateway import RunningGateway, running_gateway

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as .ci/try-serving gives it to the script."""
    folder = tmp_path_factory.mktemp("pictures")
    for path in (ROOT / "clients/gateway/page/example.jpg", ROOT / "helm/traffic-signs/files/sign.png"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def bundled(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real tritonserver on the repository's own models."""
    log = tmp_path_factory.mktemp("bundled") / "log"
    with running_server(installation, ROOT / "model_repository", log) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(bundled: RunningServer) -> Iterator[RunningGateway]:
    with running_gateway(bundled.grpc_url, "--timeout", "60") as running:
        yield running


def ask(pictures: Path, server: RunningServer, gateway: str, backend: str) -> "subprocess.CompletedProcess[str]":
    script = (ROOT / ".ci" / "ask_bundled.py").read_text()
    command = [sys.executable, "-", str(pictures), server.grpc_url, server.http_url, gateway, backend]
    return subprocess.run(command, input=script, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def test_right_answers_pass(pictures: Path, bundled: RunningServer, gateway: RunningGateway) -> None:
    result = ask(pictures, bundled, gateway.url.removeprefix("http://"), "stand-in")
    assert result.returncode == 0, result.stderr
    for protocol in ("grpc", "http"):
        assert {f"classifier, {protocol}: stop", f"detector, {protocol}: 5"} <= set(result.stdout.splitlines())
        assert f"recognizer, {protocol}: " in result.stdout
    assert "gateway, classify: stop" in result.stdout


def test_an_old_server_and_a_wrong_answer_do_not_pass(
    pictures: Path, bundled: RunningServer, gateway: RunningGateway, tmp_path: Path
) -> None:
    address = gateway.url.removeprefix("http://")
    result = ask(pictures, bundled, address, "onnxruntime")
    assert result.returncode == 1 and "may be on a network: False" in result.stderr
    (tmp_path / "example.jpg").write_bytes((pictures / "sign.png").read_bytes())
    (tmp_path / "sign.png").write_bytes((pictures / "sign.png").read_bytes())
    result = ask(tmp_path, bundled, address, "stand-in")
    assert result.returncode == 1 and "ask_bundled: recognizer, grpc: " in result.stderr
