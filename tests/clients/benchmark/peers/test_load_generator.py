"""The load generator against a small HTTP server of our own whose every answer is known."""

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from clients.benchmark.peers.exchange import raw
from clients.benchmark.peers.http_connection import split_response
from clients.benchmark.peers.load import Load, Outcome, arrivals

Answer = Callable[["SmallServer", int, bytes], bytes]


class SmallServer:
    """Answers HTTP requests with what a function says; counts them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        self.answered = 0
        self.connections = 0
        self.delay_s = 0.0
        self.writers: list[asyncio.StreamWriter] = []
        self.handlers: list[asyncio.Task[None]] = []
        self.started = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.thread.start()
        assert self.started.wait(30)

    async def _serve(self) -> None:
        self.loop, self.stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.started.set()
        await self.stopping.wait()
        server.close()
        # A connection that outlives its loop is complained of by the garbage collector in some later test: none may,
        # not even one whose handler was never started. One that is just being accepted is a task of the loop, too.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for handler in self.handlers:
                handler.cancel()
            await asyncio.wait(others)
        for writer in self.writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self.writers), return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        self.handlers.append(asyncio.create_task(self._handle(reader, writer)))

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.bodies.append(body)
                response = self.answer(self, len(self.bodies), body)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if not response:
                    break
                self.answered += 1
                writer.write(response)
                await writer.drain()
                if b"Connection: close" in response:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def stop(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.stopping.set)
            self.thread.join(30)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], SmallServer]]:
    servers: list[SmallServer] = []

    def start(answer: Answer) -> SmallServer:
        servers.append(SmallServer(answer))
        return servers[-1]

    yield start
    for each in servers:
        each.stop()


def ok(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def echo(server: SmallServer, number: int, body: bytes) -> bytes:
    return ok(body)


def load(server: SmallServer, images: list[bytes] | None = None, **job: Any) -> Outcome:
    requests = [raw().request(image, "127.0.0.1", server.port) for image in images or [b"a", b"bb", b"ccc"]]
    defaults = {"seconds": 0.5, "warm_up_s": 0.1, "clients": 4, "rate": None, "timeout_s": 10, "keep": 20}
    facts = {
        "host": "127.0.0.1",
        "port": server.port,
        "requests": [base64.b64encode(each).decode() for each in requests],
    }
    return Load({**facts, **defaults, **job}).run()


def test_a_closed_loop_counts_what_was_answered_and_keeps_answers_of_each_request(serve: Any) -> None:
    server = serve(echo)
    outcome = load(server, clients=4, seconds=1)
    assert outcome.failures == outcome.unanswered == 0
    assert outcome.answered == len(outcome.latencies_us) > 0
    assert outcome.answered <= len(server.bodies)
    assert server.connections == 4
    assert 0 < len(outcome.answers) < 40
    assert all(body == [b"a", b"bb", b"ccc"][number] for number, _, body in outcome.answers)
    assert 0 < outcome.cpu_share <= 1.5


def test_a_closed_loop_has_no_more_requests_under_way_than_clients(serve: Any) -> None:
    server = serve(echo)
    server.delay_s = 0.1
    outcome = load(server, clients=3, seconds=1, warm_up_s=0)
    assert outcome.answered <= 3 * 10
    assert min(outcome.latencies_us) >= 100_000


def test_a_closed_loop_waits_for_an_answer_to_each_client(serve: Any) -> None:
    server = serve(echo)
    server.delay_s = 1
    outcome = load(server, clients=2, seconds=0.1, warm_up_s=0)
    assert outcome.answered >= 2
    assert outcome.seconds >= 1
    assert outcome.failures == 0


@pytest.mark.parametrize("rate", [None, 20])
def test_nothing_is_under_way_when_a_load_ends(serve: Any, rate: float | None) -> None:
    """A slow server would still be at it when the next load begins."""
    server = serve(echo)
    server.delay_s = 2
    outcome = load(server, clients=8, rate=rate, seconds=0.5, warm_up_s=0)
    assert server.answered == len(server.bodies) >= 8
    assert outcome.failures == 0


def test_an_open_loop_sends_all_that_falls_due(serve: Any) -> None:
    server = serve(echo)
    moments = arrivals(200, 1.2)
    outcome = load(server, rate=200, seconds=1, warm_up_s=0.2, clients=16)
    assert len(server.bodies) == len(moments)
    assert len(outcome.latencies_us) == sum(moment >= 0.2 for moment in moments)
    assert outcome.failures == outcome.unanswered == 0


def test_arrivals_have_their_rate_and_are_the_same_each_time() -> None:
    moments = arrivals(1000, 20)
    gaps = np.diff(moments)
    assert moments == arrivals(1000, 20)
    assert len(moments) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as an exponential distribution has it


def test_latencies_count_from_when_a_request_fell_due(serve: Any) -> None:
    """One stall of half a second, on the only connection: whoever fell due meanwhile has waited too."""

    def stall(server: SmallServer, number: int, body: bytes) -> bytes:
        if number == 10:
            time.sleep(0.5)
        return ok(body)

    outcome = load(serve(stall), rate=100, seconds=1.5, warm_up_s=0, clients=1)
    slow = [each for each in outcome.latencies_us if each > 100_000]
    # At 100 a second about 40 fall due in the first 0.4 s of it; a generator that waits would have seen a single one.
    assert len(slow) >= 20
    assert max(slow) >= 500_000


def test_an_overloaded_server_has_requests_unanswered(serve: Any) -> None:
    server = serve(echo)
    server.delay_s = 0.2
    outcome = load(server, rate=100, seconds=1, warm_up_s=0, clients=1, timeout_s=1)
    assert outcome.unanswered > 50
    assert len(outcome.latencies_us) == len(arrivals(100, 1))
    assert max(outcome.latencies_us) > 500_000


def test_refusals_are_failures_with_their_reason(serve: Any) -> None:
    def refuse(server: SmallServer, number: int, body: bytes) -> bytes:
        if number % 2:
            return ok(body)
        return b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nfull"

    outcome = load(serve(refuse), clients=2)
    assert outcome.failures > 0
    assert outcome.answered > 0
    assert outcome.reasons[0] == "HTTP/1.1 503 Busy: full"


def test_connections_that_are_cut_are_failures_and_opened_again(serve: Any) -> None:
    def cut(server: SmallServer, number: int, body: bytes) -> bytes:
        return b"" if number == 1 else ok(body)

    server = serve(cut)
    outcome = load(server, clients=1, warm_up_s=0)
    assert outcome.failures == 1
    assert outcome.answered > 0
    assert server.connections == 2


def test_a_connection_that_was_closed_between_two_requests_is_no_failure(serve: Any) -> None:
    def close(server: SmallServer, number: int, body: bytes) -> bytes:
        return ok(body, b"Connection: close\r\n")

    server = serve(close)
    outcome = load(server, clients=2)
    assert outcome.failures == 0
    assert outcome.answered > 1
    assert server.connections > 2


def test_no_answer_in_time_is_a_failure(serve: Any) -> None:
    server = serve(echo)
    server.delay_s = 5
    outcome = load(server, clients=2, seconds=1.5, timeout_s=0.3, warm_up_s=0)
    assert outcome.answered == 0
    assert outcome.failures >= 2
    assert "no answer in 0.3 s" in outcome.reasons[0]


def test_something_else_than_http_is_a_failure(serve: Any) -> None:
    outcome = load(serve(lambda server, number, body: b"SSH-2.0-x\r\n"), clients=1)
    assert outcome.failures > 0
    assert "no HTTP" in outcome.reasons[0]


def test_nobody_listening_is_an_error(serve: Any) -> None:
    server = serve(echo)
    server.stop()
    with pytest.raises(OSError):
        load(server)


def test_large_requests_arrive_whole(serve: Any) -> None:
    image = bytes(range(256)) * 40_000
    server = serve(lambda server, number, body: ok(str(len(body)).encode()))
    outcome = load(server, [image], clients=2)
    assert outcome.answered > 0
    assert {body for _, _, body in outcome.answers} == {str(len(image)).encode()}
    assert server.bodies[0] == image


@pytest.mark.parametrize("size", range(1, 60))
def test_a_response_may_arrive_in_any_pieces(size: int) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
    for whole, body in ((chunked, b"abcde"), (ok(b"answer"), b"answer"), (ok(b""), b"")):
        part = whole[:size]
        found = split_response(part)
        assert found is None if len(part) < len(whole) else found is not None
        complete = split_response(whole)
        assert complete is not None
        assert complete[1] == body


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"X"])
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        split_response(data)
