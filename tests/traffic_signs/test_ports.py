"""Free ports differ from each other and can be listened on."""

import socket

from traffic_signs.ports import free_ports


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
