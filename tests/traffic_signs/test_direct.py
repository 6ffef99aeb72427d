"""No proxy between this project and what runs on this machine; one that stands elsewhere is named."""

import os
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from serving.server import RunningServer, unavailable_models
from traffic_sign_client import SignClient
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError
from traffic_signs.direct import is_loopback, keep_loopback_direct, open_url

ROOT = Path(__file__).parents[2]
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GRPC_PROXY")


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every variable names a proxy on a port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        for name in (*VARIABLES, *map(str.lower, VARIABLES)):
            monkeypatch.setenv(name, address)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.setenv(name, "")
        yield address


@pytest.fixture
def web_server() -> Iterator[str]:
    """host:port of a server that answers everything with 404."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_this_machine() -> None:
    here = ("localhost", "localhost:8001", "a.localhost", "127.0.0.1:80", "127.9.9.9", "[::1]:8001", "0.0.0.0:8000")
    assert all(map(is_loopback, here))
    assert not any(map(is_loopback, ("example.com:80", "localhost.example.com", "10.0.0.1:8001", "[fd00::1]:80", "")))


@pytest.mark.end_to_end
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_here_is_asked_without_a_proxy(server: RunningServer, protocol: Protocol, dead_proxy: str) -> None:
    assert unavailable_models(server) == {}
    with SignClient(server.grpc_url if protocol == "grpc" else server.http_url, protocol) as client:
        assert client.input_size() == 48


def test_http_here_goes_past_the_proxy_and_elsewhere_it_is_named(web_server: str, dead_proxy: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as found:
        open_url(f"http://{web_server}/", timeout=60)
    found.value.close()
    with pytest.raises(urllib.error.URLError, match=r"http_proxy.*add far\.example to no_proxy"):
        open_url("http://far.example/", timeout=5)
    with pytest.raises(urllib.error.URLError) as missed:
        open_url("http://far.example/", timeout=5, is_ours=True)
    assert "proxy" not in str(missed.value)


def test_a_client_of_a_server_elsewhere_names_the_proxy(dead_proxy: str) -> None:
    with (
        SignClient("far.example:8001", retries=0, timeout=20) as client,
        pytest.raises(ClientError, match=r"grpc_proxy.*no_proxy"),
    ):
        client.input_size()


def test_libraries_and_children_are_spared_too(
    web_server: str, dead_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet.example, .lan")
    keep_loopback_direct()
    for variable in ("no_proxy", "NO_PROXY"):
        assert os.environ[variable].startswith("intranet.example,.lan,localhost,")
    import requests  # MLflow's

    assert requests.get(f"http://{web_server}/", timeout=60).status_code == 404
    with pytest.raises(urllib.error.HTTPError) as found:
        urllib.request.urlopen(f"http://{web_server}/", timeout=60)
    found.value.close()
    monkeypatch.setenv("no_proxy", "*")
    keep_loopback_direct()
    assert os.environ["no_proxy"] == "*"


def test_a_connection_that_meets_itself_is_no_answer() -> None:
    """Linux may connect a socket to its own port; here the port is given, so that it does each time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def meet_itself(address: tuple[str, int], *arguments: object, **options: object) -> socket.socket:
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind(address)
        own.connect(address)
        return own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", meet_itself)
        with pytest.raises(OSError, match="not an HTTP server"):
            open_url(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2)


def test_everything_is_opened_in_one_place() -> None:
    """Data sets and the load of peers aside, which are fetched from elsewhere, or asked over sockets of their own."""
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    opening = re.compile(r"urlopen\(|InferenceServerClient\((?!.*(channel_args|_opening))")
    sources = [path for package in packages for path in package.rglob("*.py")]
    found = {path.resolve() for path in sources if opening.search(path.read_text(encoding="utf-8"))}
    assert found == {ROOT / "traffic_signs" / "direct.py"}  # the client's is a link to it
