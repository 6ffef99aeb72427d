"""A running server says which version it is and what runs its models; one that is too old for a network is named."""

import json
from pathlib import Path

import pytest
import yaml

from serving.server import RunningServer
from serving.versions import MINIMUM, parse_version
from tests.fixture_types import Signs

VALUES = Path(__file__).parents[2] / "helm" / "traffic-signs" / "values.yaml"


@pytest.mark.end_to_end
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_version_and_backends_are_the_servers_own_words(signs: Signs, server: RunningServer, protocol: str) -> None:
    url = server.grpc_url if protocol == "grpc" else server.http_url
    code, output, _ = signs("check-server", "--url", url, "--protocol", protocol, "--minimum", "2.51", "--json")
    assert code == 0
    assert json.loads(output) == {
        "url": url,
        "version": "2.51.0",
        "minimum": "2.51",
        "is_safe": True,
        "models": {"sign_classifier": "stand-in"},
    }


@pytest.mark.end_to_end
def test_an_old_one_is_named(signs: Signs, server: RunningServer) -> None:
    code, output, error = signs("check-server", "--url", server.grpc_url)
    assert code == 1 and "sign_classifier: stand-in" in output
    assert f"tritonserver 2.51.0 at {server.grpc_url} is older than 2.71" in error


def test_what_is_no_version_or_no_server_is_refused(signs: Signs) -> None:
    code, _, error = signs("check-server", "--minimum", "latest")
    assert code == 1 and "'latest'" in error
    code, _, error = signs("check-server", "--url", "127.0.0.1:1", "--timeout", "2")
    assert code == 1 and "no grpc server at 127.0.0.1:1" in error


def test_the_chart_asks_for_the_same_version() -> None:
    assert parse_version(yaml.safe_load(VALUES.read_text())["tests"]["minimumServerVersion"]) == MINIMUM
