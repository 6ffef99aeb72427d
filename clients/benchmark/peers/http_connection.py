"""An HTTP/1.1 connection of the load generator.

It uses only the standard library, like the whole load generator, so that the program starts fast.
"""

import asyncio

CONNECT_S = 10.0


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[bytes, bytes]] | None = None
        self.received = bytearray()
        self.is_used = False  # whether it has brought an answer since it was opened

    async def connect(self) -> asyncio.Transport:
        """Opens the connection; raises OSError if nothing listens at the address."""
        async with asyncio.timeout(CONNECT_S):
            self.transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, *self.address)
        self.is_used = False
        return self.transport

    def close(self) -> None:
        """Ends the connection at once; the next request opens it again."""
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """Sends a request; returns head and body of the response.

        Raises:
            OSError: the connection cannot be opened, or ends before the answer.
            ValueError: the answer is not HTTP.
        """
        if self.transport is not None and self.is_used:
            try:
                return await self._exchange(self.transport, request)
            except ConnectionError:  # the server may have closed the idle connection
                if self.received:
                    raise
        return await self._exchange(self.transport or await self.connect(), request)

    async def _exchange(self, transport: asyncio.Transport, request: bytes) -> tuple[bytes, bytes]:
        self.received.clear()
        self.answer = asyncio.get_running_loop().create_future()
        transport.write(request)
        try:
            head, body = await self.answer
        except BaseException:
            self.close()
            raise
        self.is_used = True
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return head, body

    def data_received(self, data: bytes) -> None:
        """Takes a part of a response."""
        self.received += data
        try:
            response = split_response(self.received)
        except ValueError as error:
            self._finish(error)
        else:
            if response is not None and self.answer is not None and not self.answer.done():
                self.answer.set_result(response)

    def connection_lost(self, error: Exception | None) -> None:
        """Fails the request in flight."""
        self.transport = None
        self._finish(error or ConnectionResetError("the server closed the connection"))

    def _finish(self, error: Exception) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(error)


def split_response(data: bytes | bytearray) -> tuple[bytes, bytes] | None:
    """Returns head and body of an HTTP response, or None if it is incomplete.

    Raises:
        ValueError: it is not an HTTP response, or does not say where it ends.
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
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", start)) >= 0:
        size = int(bytes(data[start:line]).split(b";")[0], 16)
        start = line + 2 + size + 2
        if len(data) < start:
            return None
        if size == 0:
            return head, b"".join(parts)
        parts.append(bytes(data[line + 2 : line + 2 + size]))
    return None
