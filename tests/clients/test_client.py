"""The client's own checks and its errors; what a server answers stands in tests/end_to_end."""

import socket
import threading
from pathlib import Path

import pytest

import clients
from clients import SignClient
from clients.client import Prediction, _parse
from clients.connection import Protocol
from clients.errors import ClientError
from serving.server import free_ports


def test_the_public_names_are_these() -> None:
    assert clients.__all__ == ["Prediction", "RecognizerClient", "Sign", "SignClient"]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_no_server_names_the_fix(protocol: Protocol) -> None:
    port = free_ports().grpc
    with pytest.raises(ClientError, match=rf"no {protocol} server at 127.0.0.1:{port}.*signs serve"):
        SignClient(f"127.0.0.1:{port}", protocol)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_never_answers_ends_with_the_timeout(protocol: Protocol) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(ClientError, match=r"no answer from .* within 0\.5 s"):
            SignClient(f"127.0.0.1:{mute.getsockname()[1]}", protocol, timeout=0.5)


def test_something_else_on_the_port_is_an_error_not_a_crash() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ClientError):
            SignClient(f"127.0.0.1:{other.getsockname()[1]}", "http", timeout=2)
        thread.join()


def test_a_scheme_in_the_url_is_refused() -> None:
    with pytest.raises(ClientError, match="without a scheme"):
        SignClient("http://localhost:8000", "http")


def test_a_classification_answer_is_read_whole() -> None:
    assert _parse(b"0.987654:14:stop") == Prediction(14, "stop", 0.987654)
    assert _parse(b"0.5:1:a:b") == Prediction(1, "a:b", 0.5)
    assert _parse(b"0.5:7") == Prediction(7, "7", 0.5)


def test_the_client_imports_no_pytorch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, clients, clients.predict, clients.cli; assert not {'torch', 'mlflow', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
