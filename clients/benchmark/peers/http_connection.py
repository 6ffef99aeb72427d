"""A raw HTTP/1.1 connection of the load generator, and how it finds the end of a response.

Of the standard library alone, as all that the load generator imports: it must be up at once.
"""

import socket


class Connection:
    """One connection, and the request that is under way on it."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.fresh = True
        self.connect()
        self.busy = False
        self.number = 0
        self.due = 0.0  # when the request under way should have left
        self.sent = 0.0
        self.rest = memoryview(b"")

    def connect(self) -> None:
        """Opens the connection; raises OSError where nobody listens."""
        self.socket = socket.create_connection(self.address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = bytearray()
        self.fresh = True

    def send(self, request: bytes, number: int, due: float, now: float) -> None:
        """Sends a request, or as much of it as the socket takes now."""
        self.busy, self.number, self.due, self.sent = True, number, due, now
        self.received.clear()
        self.rest = memoryview(request)
        self.push()

    def push(self) -> None:
        """Sends more of the request."""
        try:
            while self.rest:
                self.rest = self.rest[self.socket.send(self.rest) :]
        except BlockingIOError:
            pass

    def read(self) -> bool:
        """Takes what has arrived; returns whether the connection is still open."""
        while True:
            try:
                data = self.socket.recv(262144)
            except BlockingIOError:
                return True
            if not data:
                return False
            self.received += data
            if len(data) < 262144:
                return True


def split_response(data: bytes | bytearray) -> tuple[bytes, bytes] | None:
    """Returns head and body of an HTTP response, or None while more of it is to come.

    Raises:
        ValueError: it is no HTTP response, or does not say where it ends.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if data and not bytes(data[:5]) == b"HTTP/"[: len(data)]:
            raise ValueError(f"no HTTP: {bytes(data[:60])!r}")
        return None
    head = bytes(data[:end])
    lower, start = head.lower(), end + 4
    place = lower.find(b"\r\ncontent-length:")
    if place >= 0:
        length = int(lower[place + 17 :].split(b"\r\n", 1)[0])
        return None if len(data) < start + length else (head, bytes(data[start : start + length]))
    if b"\r\ntransfer-encoding: chunked" not in lower:
        raise ValueError("the response has neither a length nor chunks")
    return _join_chunks(head, data, start)


def _join_chunks(head: bytes, data: bytes | bytearray, start: int) -> tuple[bytes, bytes] | None:
    parts: list[bytes] = []
    while True:
        line = data.find(b"\r\n", start)
        if line < 0:
            return None
        size = int(bytes(data[start:line]).split(b";")[0], 16)
        if len(data) < line + 2 + size + 2:
            return None
        if size == 0:
            return head, b"".join(parts)
        parts.append(bytes(data[line + 2 : line + 2 + size]))
        start = line + 2 + size + 2
