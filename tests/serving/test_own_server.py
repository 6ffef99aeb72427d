"""A given tritonserver is started once to read its version; its ONNX Runtime backend is found in its folder."""

import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from clients.benchmark.target import look_at
from export.repository import Manifest
from serving.errors import ServingError
from serving.install import Installation, find_or_install
from serving.own_server import BACKENDS, PROGRAM, home_of
from serving.server import running_server
from serving.versions import check_network, parse_version, shared_memory_arguments
from tests.fixture_types import Signs
from tests.odd_places import odd_home
from tests.serving.test_server import alive, wait_until


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def own(installation: Installation, tmp_path: Path) -> Path:
    """A real tritonserver as a machine has it by itself: it needs no variables, and its backends are elsewhere."""
    variables = " ".join(f"{name}='{value}'" for name, value in installation.environment.items())
    return program(tmp_path / "own" / "bin" / "tritonserver", f'export {variables}\nexec {installation.binary} "$@"')


def backends_of(installation: Installation) -> Path:
    (folder,) = (Path(each.partition("=")[2]) for each in installation.arguments if "backend-directory" in each)
    return folder


@pytest.mark.end_to_end
def test_its_version_is_read_and_its_stand_in_is_seen(installation: Installation, own: Path, tmp_path: Path) -> None:
    found = find_or_install(tmp_path / "home", print, own, backends_of(installation))
    assert (found.version, found.has_standin) == ("2.51.0", True)
    assert found.description == f"tritonserver 2.51.0 ({own}, ONNX Runtime stand-in backend)"
    assert not (tmp_path / "home").exists(), "nothing is installed"


@pytest.mark.end_to_end
def test_the_backend_beside_it_is_taken_and_a_library_goes_before_a_stand_in(own: Path, tmp_path: Path) -> None:
    """The library is an empty file: Triton's own backend cannot be had here, and it is not loaded in this test."""
    backend = own.parents[1] / "backends" / "onnxruntime"
    backend.mkdir(parents=True)
    described = find_or_install(tmp_path, print, own).description
    assert described.endswith(f"no ONNX Runtime backend in {backend.parent})")
    (backend / "model.py").touch()
    assert find_or_install(tmp_path, print, own).has_standin
    (backend / "libtriton_onnxruntime.so").touch()
    found = find_or_install(tmp_path, print, own)
    assert not found.has_standin and found.description.endswith(", ONNX Runtime backend)")


@pytest.mark.end_to_end
def test_it_is_named_by_the_environment_or_found_on_the_path(
    installation: Installation, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BACKENDS, str(backends_of(installation)))
    monkeypatch.setenv("PATH", f"{own.parent}:{os.environ['PATH']}")
    assert find_or_install(tmp_path / "home", print).binary == own
    other = own.with_name("other")
    own.rename(other)
    monkeypatch.setenv(PROGRAM, str(other))
    assert find_or_install(tmp_path / "home", print).binary == other


@pytest.mark.end_to_end
def test_what_the_running_server_says_is_what_its_folder_promised(
    installation: Installation, own: Path, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    found = find_or_install(tmp_path / "home", print, own, backends_of(installation))
    with running_server(found, repository, tmp_path / "log") as server:
        target = look_at({"grpc": server.grpc_url}, ["sign_classifier"])
        with urllib.request.urlopen(f"http://{server.http_url}/v2/models/sign_classifier/config") as response:
            config = json.load(response)
    assert target.metadata["version"] == found.version
    assert target.has_standin and found.has_standin and config["runtime"] == "model.py"


@pytest.mark.end_to_end
def test_its_backends_may_be_in_any_folder(
    installation: Installation, own: Path, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    backends = odd_home(installation, tmp_path) / "tritonserver" / "backends"
    found = find_or_install(tmp_path / "home", print, own, backends)
    with running_server(found, repository, tmp_path / "log") as server:
        assert look_at({"grpc": server.grpc_url}, ["sign_classifier"]).has_standin


# Answers as a tritonserver of 2024-02 does, which cannot be had as a wheel.
OLD_SERVER = """
import http.server, sys
class Old(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"name": "triton", "version": "2.43.0"}')
(port,) = [int(each.partition("=")[2]) for each in sys.argv if each.startswith("--http-port=")]
http.server.HTTPServer(("127.0.0.1", port), Old).serve_forever()
"""


def test_one_without_configurations_by_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(OLD_SERVER)
    wrong = program(tmp_path / "bin" / "tritonserver", f'exec {sys.executable} {tmp_path}/old.py "$@"')
    with pytest.raises(ServingError, match=r"2\.43\.0, older than 2\.46 .*--model-config-name: give another"):
        find_or_install(tmp_path / "home", print, wrong)


def test_what_a_wrapper_script_has_started_ends_with_it(tmp_path: Path) -> None:
    wrapper = program(tmp_path / "bin" / "tritonserver", f"sleep 600 &\necho $! > {tmp_path}/child\nexit 1")
    with pytest.raises(ServingError, match="exit code 1"):
        find_or_install(tmp_path / "home", print, wrapper)
    child = int((tmp_path / "child").read_text())
    assert wait_until(lambda: not alive(child), 10)


def test_a_program_at_the_root_has_a_home() -> None:
    assert home_of(Path("/no-tritonserver")) == Path("/")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "echo unrecognized option; echo Try ls --help; exit 1",
            r"that runs here \(exit code 1: unrecognized option\).*--tritonserver",
        ),
        ("exit 0", r"\(exit code 0: it printed nothing\)"),
    ],
)
def test_another_program_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=reason):
        find_or_install(tmp_path / "home", print, program(tmp_path / "tritonserver", text))


def test_what_is_no_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").touch()
    for wrong in (tmp_path / "text", tmp_path, tmp_path / "missing"):
        with pytest.raises(ServingError, match=r"is not a program: give a tritonserver"):
            find_or_install(tmp_path / "home", print, wrong)
    monkeypatch.setenv(PROGRAM, str(tmp_path / "missing"))
    with pytest.raises(ServingError, match=r"missing is not a program"):
        find_or_install(tmp_path / "home", print)


def test_backends_without_their_server_or_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServingError, match=r"there is no folder .*missing.*--backends"):
        find_or_install(tmp_path / "home", print, program(tmp_path / "tritonserver", "exit 0"), tmp_path / "missing")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(ServingError, match="give its program with --tritonserver"):
        find_or_install(tmp_path / "home", print, backends=tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "server.example"])
def test_an_old_server_is_kept_off_the_network(host: str) -> None:
    with pytest.raises(ServingError, match=rf"2\.51\.0 is older than 2\.71.*does not listen on {host}.*--unsafe-old"):
        check_network("2.51.0", host)
    with pytest.raises(ServingError, match=r"2\.70\.1 is older"):
        check_network("2.70.1", host)
    check_network("2.71.0", host)
    check_network("3.0.0dev", host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_any_server_may_serve_this_machine(host: str) -> None:
    check_network("2.51.0", host)


def test_clients_shared_memory_is_asked_for_where_the_option_is_known() -> None:
    assert shared_memory_arguments("2.67.9") == ()
    assert shared_memory_arguments("2.68.0") == ("--allow-client-shm=true",)


def test_a_version_is_two_numbers() -> None:
    assert parse_version("2.73.0dev") == (2, 73)
    with pytest.raises(ServingError, match="'latest'"):
        parse_version("latest")


@pytest.mark.end_to_end
def test_serve_refuses_the_network_with_the_installed_server(
    installation: Installation, signs: Signs, repository: Path, manifest: Manifest
) -> None:
    home = Path(installation.binary).parents[2]
    code, output, error = signs("serve", "--repository", repository, "--home", home, "--host", "0.0.0.0")
    assert (code, output) == (1, "")
    assert "tritonserver 2.51.0 is older than 2.71" in error and "--unsafe-old-server" in error
