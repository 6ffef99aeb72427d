"""The client's own checks and its errors; what a server answers stands in tests/end_to_end."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import traffic_sign_client
from serving.server import free_ports
from traffic_sign_client import AsyncSignClient, Prediction, SignClient
from traffic_sign_client.answers import encoded
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError, RefusedError, TimedOutError, UnavailableError

ROOT = Path(__file__).parents[3]
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")


def test_the_public_names_are_these() -> None:
    assert traffic_sign_client.__all__ == ["AsyncSignClient", "Prediction", "Sign", "SignClass", "SignClient"]


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert methods(AsyncSignClient) == methods(SignClient)
    for name in methods(SignClient):
        assert getattr(SignClient, name).__doc__


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_server_names_the_fix(protocol: Protocol) -> None:
    port = free_ports().grpc
    with SignClient(f"127.0.0.1:{port}", protocol) as client:
        with pytest.raises(UnavailableError, match=rf"no {protocol} server at 127.0.0.1:{port}.*signs serve"):
            client.input_size()
        assert not client.ready() and not client.ready("sign_classifier")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_host_that_is_unknown_is_no_server(protocol: Protocol) -> None:
    with SignClient("no-such-host.invalid:8001", protocol, retries=0) as client, pytest.raises(UnavailableError):
        client.metadata()


@pytest.fixture
def mute() -> Iterator[str]:
    """Address of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_never_answers_ends_with_the_timeout(mute: str, protocol: Protocol) -> None:
    with SignClient(mute, protocol, timeout=0.5) as client:
        with pytest.raises(TimedOutError, match=r"no answer from .* within 0\.5 s"):
            client.input_size()
        assert not client.ready()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_waiting_request_fails_when_the_client_is_closed(mute: str, protocol: Protocol) -> None:
    client = SignClient(mute, protocol)
    problems: list[Exception] = []

    def wait() -> None:
        try:
            client.input_size()
        except ClientError as error:
            problems.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not client._client._server._client:  # until the first has asked
        time.sleep(0.01)
    client.close()
    for thread in threads:
        thread.join()
    assert len(problems) == 3 and all("closed" in str(problem) for problem in problems)
    client.close()
    with pytest.raises(ClientError, match="closed: make a new one"):
        client.input_size()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_waiting_task_fails_and_is_not_cancelled_when_the_client_is_closed(mute: str, protocol: Protocol) -> None:
    async def ask() -> list[object]:
        client = AsyncSignClient(mute, protocol)
        tasks = [asyncio.create_task(client.input_size()) for _ in range(3)]
        await asyncio.sleep(0.1)
        tasks[0].cancel()
        await client.close()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    cancelled, *problems = asyncio.run(ask())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert [type(problem) for problem in problems] == [ClientError, ClientError]
    assert all("closed" in str(problem) for problem in problems)


def test_a_closed_client_takes_no_shared_memory(mute: str) -> None:
    client = SignClient(mute, shared_memory=True)
    client.close()
    with pytest.raises(ClientError, match="closed: make a new one"):
        client.recognize(b"x")

    async def ask() -> None:
        client = AsyncSignClient(mute, shared_memory=True)
        await client.close()
        with pytest.raises(ClientError, match="closed: make a new one"):
            await client.recognize(b"x")

    asyncio.run(ask())
    assert not list(Path("/dev/shm").glob(f"signs-{os.getpid()}-????????????????"))


def test_an_awaiting_client_that_is_closed_says_so(mute: str) -> None:
    async def ask() -> None:
        client = AsyncSignClient(mute, "http")
        await client.close()
        await client.close()
        with pytest.raises(ClientError, match="closed: make a new one"):
            await client.input_size()

    asyncio.run(ask())


def test_a_forgotten_client_leaves_no_thread(mute: str) -> None:
    before = set(threading.enumerate())  # other tests of the process may have left theirs
    client = SignClient(mute, "http", timeout=0.1)
    assert not client.ready()
    (thread,) = (each for each in threading.enumerate() if "_serve" in each.name and each not in before)
    del client
    gc.collect()
    assert not thread.is_alive()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_something_else_on_the_port_is_an_error_not_a_crash(protocol: Protocol) -> None:
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
        with (
            SignClient(f"127.0.0.1:{other.getsockname()[1]}", protocol, timeout=2, retries=0) as client,
            pytest.raises(ClientError),
        ):
            client.input_size()
        thread.join()


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("http://localhost:8000", {"protocol": "http"}, "without a scheme"),
        ("localhost", {}, "give host:port"),
        ("localhost:65536", {}, "give host:port"),
        ("ipv4:127.0.0.1:8000,127.0.0.2:8000", {"protocol": "http"}, "give host:port"),
        ("localhost:8001", {"protocol": "ftp"}, "give grpc or http"),
        ("localhost:8001", {"timeout": 0}, "give more than 0, and an end"),
        ("localhost:8001", {"timeout": float("nan")}, "give more than 0, and an end"),
        ("localhost:8001", {"timeout": float("inf")}, "give more than 0, and an end"),
        ("localhost:8001", {"retries": -1}, "0 or more"),
        ("localhost:8001", {"tls": "nowhere.pem"}, r"no TLS with nowhere\.pem.*give PEM files"),
        ("localhost:8001", {"tls": True, "client_certificate": ("a.pem", "a.key")}, r"a\.pem.*give PEM files"),
        ("localhost:8001", {"client_certificate": ("a.pem", "a.key")}, "give `tls` too"),
        ("localhost:8001", {"headers": {"authorization": "Bearer s3cret\r\nx: y"}}, "header 'authorization'"),
        ("localhost:8001", {"headers": {"authorization": "Bearer s3crét"}}, "header 'authorization'"),
        ("localhost:8001", {"headers": {"two words": "s3cret"}}, "header 'two words'"),
        ("localhost:8001", {"headers": {"key-bin": "s3cret"}}, "header 'key-bin'"),
    ],
)
@pytest.mark.parametrize("kind", [SignClient, AsyncSignClient])
def test_an_option_that_makes_no_sense_is_reported_at_once(kind: Any, url: str, options: Any, message: str) -> None:
    with pytest.raises(ClientError, match=message) as raised:
        kind(url, **options)
    assert "s3cr" not in str(raised.value)


def test_a_question_that_makes_no_sense_is_reported_before_it_is_asked() -> None:
    """No server is there: nothing was sent."""
    with SignClient(f"127.0.0.1:{free_ports().grpc}") as client:
        for model in ("sign_classifier/x", "sign_classifier//", "/1"):
            with pytest.raises(ClientError, match="is not a model") as raised:
                client.metadata(model)
            assert type(raised.value) is ClientError, "it is not the input that is refused"
        with pytest.raises(RefusedError, match="images are a list"):
            client.classify([np.zeros((48, 48, 3), np.uint8)])  # type: ignore[arg-type]
        with pytest.raises(RefusedError, match="top is 0"):
            client.classify(np.zeros((1, 48, 48, 3), np.uint8), top=0)


def test_an_option_that_does_not_exist_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="time_out"):
        SignClient(time_out=3)  # type: ignore[call-arg]


def test_a_classification_answer_is_read_whole() -> None:
    assert Prediction.read(b"0.987654:14:stop") == Prediction(14, "stop", 0.987654)
    assert Prediction.read(b"0.5:1:a:b") == Prediction(1, "a:b", 0.5)
    assert Prediction.read(b"0.5:7") == Prediction(7, "7", 0.5)


def test_photographs_travel_as_the_bytes_of_an_image_file(tmp_path: Path) -> None:
    (tmp_path / "street.jpg").write_bytes(b"content")
    for photograph in (b"content", tmp_path / "street.jpg", str(tmp_path / "street.jpg")):
        assert encoded(photograph).tolist() == [[b"content"]]
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert encoded(pixels).tolist() == [[b"P6 3 2 255\n" + bytes(range(18))]]
    assert encoded(pixels[:, ::-1]).tolist() == [[b"P6 3 2 255\n" + pixels[:, ::-1].tobytes()]]


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)],
)
def test_an_array_that_is_no_photograph_is_refused(pixels: npt.NDArray[Any]) -> None:
    with pytest.raises(RefusedError, match=r"uint8 \[height, width, 3\], RGB, and not"):
        encoded(pixels)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="No such file"):
        encoded(tmp_path / "nowhere.jpg")
    with pytest.raises(RefusedError, match="directory"):
        encoded(tmp_path)


def test_the_client_needs_nothing_but_tritonclient_and_numpy() -> None:
    ours = {"traffic_signs", "training", "export", "serving", "clients"}
    others = {"torch", "PIL", "matplotlib", "mlflow", "onnx", "cv2", "rich", "typer"} | ours
    code = (
        "import sys; from traffic_sign_client import SignClient; "
        "SignClient().close(); SignClient(protocol='http').close(); "
        f"assert not {others} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_command_imports_no_pytorch() -> None:
    code = (
        "import sys, clients.command.predict, clients.command.main; "
        "assert not {'torch', 'mlflow', 'onnx', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
