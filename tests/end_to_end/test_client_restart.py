"""A client that is asked while its server is away: it asks again, and is answered when the server is back."""

import os
import threading
from pathlib import Path

import pytest

from serving.install import Installation
from serving.server import free_ports, running_server
from tests.end_to_end.street import PROTOCOLS, address
from tests.slow_recognizer import write_slow_recognizer
from traffic_sign_client import SignClient
from traffic_sign_client.errors import UnavailableError

pytestmark = pytest.mark.end_to_end


def test_clients_outlive_a_restart_of_the_server(installation: Installation, tmp_path: Path) -> None:
    """With shared memory, which the server has forgotten then; one client does not ask again."""
    write_slow_recognizer(tmp_path / "models", "sign_recognizer", instances=1)
    ports = free_ports()
    answers: list[str] = []

    with running_server(installation, tmp_path / "models", tmp_path / "log", ports) as server:
        clients = [
            SignClient(address(server, protocol), protocol, shared_memory=shared, retries=1000, timeout=100)
            for protocol in PROTOCOLS
            for shared in (True, False)
        ]
        hasty = [SignClient(address(server, protocol), protocol, retries=0) for protocol in PROTOCOLS]
        for client in (*clients, *hasty):
            assert client.recognize(b"0 before")[0].name == "before"
        server.process.kill()  # a polite end would wait for HTTP connections to be closed
    for left in Path("/dev/shm").glob(f"signs-{ports.grpc}-*"):  # memory of its Python model, which it cannot remove
        left.unlink()

    for client in hasty:
        with pytest.raises(UnavailableError):
            client.recognize(b"0 away")

    def ask(client: SignClient) -> None:
        answers.append(client.recognize(b"0 after")[0].name)

    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    with running_server(installation, tmp_path / "models", tmp_path / "log", ports):
        for thread in threads:
            thread.join()
        assert answers == ["after"] * len(clients)
        for client in (*clients, *hasty):
            client.close()
    assert not list(Path("/dev/shm").glob(f"signs-{os.getpid()}-????????????????"))
