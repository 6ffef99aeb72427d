"""Which requests are retried, which headers reach a server, and what its statuses mean.

A real tritonserver cannot be made to give these answers, so a small HTTP server gives them, over real sockets.
"""

import asyncio
import http.server
import json
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from traffic_sign_client import AsyncSignClient, SignClient
from traffic_sign_client.errors import (
    ClientError,
    NotServedError,
    OverloadedError,
    RefusedError,
    TimedOutError,
    UnavailableError,
)

Answer = tuple[int, str]  # status and body
GOOD: Answer = (200, json.dumps({"name": "triton", "version": "1"}))
BUSY: Answer = (503, json.dumps({"error": "the scheduler has stopped accepting new requests"}))
CLOSED: Answer = (0, "")  # the connection is, without an answer
CUT: Answer = (200, '{"name": ')  # the same, within the answer
UNLOADED: Answer = (404, json.dumps({"error": "Request for unknown model: 'm' has no available versions"}))
UNREACHED: Answer = (503, "<html>no server is available</html>")
SECRET = {"Authorization": "Bearer s3cret"}


@dataclass
class Script:
    """What a server answers, one after the other and the last for ever, and what it has been asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0
    asked: list[dict[str, str]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)  # of the connections over which it was asked


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            script.asked.append(dict(self.headers))
            script.ports.append(self.client_address[1])
            time.sleep(script.seconds)
            answer = script.answers[min(len(script.asked), len(script.answers)) - 1]
            status, body = answer
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + (answer is CUT)))
            self.end_headers()
            self.wfile.write(body.encode())
            self.close_connection = answer is CUT

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script.url = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield script
        server.shutdown()
        thread.join()


def waiting(url: str, **options: Any) -> dict[str, Any]:
    with SignClient(url, "http", **options) as client:
        return client.metadata()


def awaiting(url: str, **options: Any) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with AsyncSignClient(url, "http", **options) as client:
            return await client.metadata()

    return asyncio.run(ask())


Ask = Callable[..., dict[str, Any]]


@pytest.fixture(params=[waiting, awaiting])
def ask(request: pytest.FixtureRequest) -> Ask:
    kind: Ask = request.param
    return kind


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_sign_client.connection.FIRST_PAUSE_S", 0.01)


@pytest.mark.parametrize("problem", [BUSY, (502, "<html>bad gateway</html>"), (429, "{}"), CLOSED, CUT])
def test_what_may_pass_is_asked_again(script: Script, ask: Ask, problem: Answer) -> None:
    script.answers = [problem, problem, GOOD]
    assert ask(script.url, headers=SECRET)["name"] == "triton"
    assert len(script.asked) == 3
    assert all(
        {name.lower(): value for name, value in each.items()}["authorization"] == "Bearer s3cret"
        for each in script.asked
    )


def test_after_the_last_retry_the_problem_is_reported(script: Script, ask: Ask) -> None:
    script.answers = [BUSY]
    with pytest.raises(UnavailableError, match="stopped accepting"):
        ask(script.url, retries=3)
    assert len(script.asked) == 4
    with pytest.raises(UnavailableError):
        ask(script.url, retries=0)
    assert len(script.asked) == 5


def test_no_retry_starts_after_the_deadline(script: Script, ask: Ask) -> None:
    """It ends, with the server's last answer or without one, as the time ran out."""
    script.answers = [BUSY]
    with pytest.raises((UnavailableError, TimedOutError)):
        ask(script.url, retries=1_000_000, timeout=0.5)
    assert len(script.asked) < 10_000


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((400, '{"error": "unexpected shape"}'), RefusedError),
        ((413, "too large"), RefusedError),
        ((404, '{"error": "Request for unknown model: \'x\' is not found"}'), NotServedError),
        ((401, '{"error": "who are you"}'), ClientError),
        ((403, "{}"), ClientError),
        ((500, '{"error": "out of memory"}'), ClientError),
        ((504, "<html>gateway timeout</html>"), TimedOutError),
        ((200, "this is no Triton"), ClientError),
    ],
)
def test_what_does_not_pass_is_asked_once(script: Script, ask: Ask, answer: Answer, kind: type[ClientError]) -> None:
    script.answers = [answer]
    with pytest.raises(ClientError) as raised:
        ask(script.url, headers=SECRET)
    assert type(raised.value) is kind
    assert len(script.asked) == 1
    assert "s3cret" not in "".join(traceback.format_exception(raised.value)) + repr(raised.value)


def test_an_overloaded_server_is_distinguished_from_one_that_is_gone(script: Script, ask: Ask) -> None:
    script.answers = [(429, '{"error": "slow down"}')]
    with pytest.raises(OverloadedError, match="slow down: ask later, or less at once"):
        ask(script.url)


def test_a_page_in_place_of_an_answer_is_cut(script: Script, ask: Ask) -> None:
    script.answers = [(502, "<html>" + "x" * 100_000)]
    with pytest.raises(UnavailableError) as raised:
        ask(script.url, retries=0)
    assert len(str(raised.value)) < 2100


def test_a_late_answer_is_not_asked_for_again(script: Script, ask: Ask) -> None:
    script.answers, script.seconds = [GOOD], 1.0
    with pytest.raises(TimedOutError, match=r"within 0\.2 s"):
        ask(script.url, timeout=0.2, retries=5)
    assert len(script.asked) == 1


def test_a_look_at_the_health_is_one_request(script: Script) -> None:
    script.answers = [BUSY, (400, ""), (200, "")]
    with SignClient(script.url, "http") as client:
        assert [client.ready(), client.ready("sign_classifier"), client.ready()] == [False, False, True]
    assert len(script.asked) == 3


@pytest.mark.parametrize("leaving", [UNLOADED, BUSY, UNREACHED, CLOSED, CUT])
def test_a_model_that_has_answered_is_asked_for_until_another_server_has_it(script: Script, leaving: Answer) -> None:
    script.answers = [GOOD, *[leaving] * 6, GOOD]
    with SignClient(script.url, "http", retries=1) as client:
        assert [client.metadata("m")["name"] for _ in range(2)] == ["triton", "triton"]
    assert len(script.asked) == 8
    assert len(set(script.ports)) >= 7, "a kept connection leads to the server that is leaving"


def test_a_model_that_was_ready_is_asked_for_as_one_that_has_answered(script: Script) -> None:
    """And one that was not ready, or another that was, is not."""
    script.answers = [(200, ""), *[UNLOADED] * 4, GOOD]
    with SignClient(script.url, "http", retries=1) as client:
        assert client.ready("m")
        assert client.metadata("m")["name"] == "triton"
    assert len(script.asked) == 6
    for answer, ready in (((400, ""), "m"), ((200, ""), ""), ((200, ""), "other")):
        script.asked, script.answers = [], [answer, UNLOADED]
        with SignClient(script.url, "http", retries=1) as client:
            assert client.ready(ready) == (answer[0] == 200)
            with pytest.raises(NotServedError):
                client.metadata("m")
        assert len(script.asked) == 2


def test_a_model_that_has_answered_and_is_really_gone_is_named_and_not_waited_for_twice(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traffic_sign_client.connection.FAILOVER_S", 1.0)
    script.answers = [GOOD, UNLOADED]
    with SignClient(script.url, "http", timeout=5) as client:
        client.metadata("m")
        with pytest.raises(NotServedError, match="unknown model: 'm' has no available versions"):
            client.metadata("m")
        asked = len(script.asked)
        assert asked > 4
        with pytest.raises(NotServedError):
            client.metadata("m")
    assert len(script.asked) == asked + 1


def test_nobody_waits_long_for_a_server_that_was_the_only_one(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_sign_client.connection.FAILOVER_S", 0.3)
    script.answers = [GOOD, UNREACHED]
    with SignClient(script.url, "http", timeout=300) as client:
        client.metadata("m")
        with pytest.raises(UnavailableError):
            client.metadata("m")


@pytest.mark.parametrize(
    ("leaving", "timeout"), [(UNLOADED, 0.5), (BUSY, 0.5), (UNREACHED, 300)], ids=["unloaded", "stopping", "unreached"]
)
def test_it_asks_until_the_time_is_up_however_long_a_pause_would_be(
    script: Script, monkeypatch: pytest.MonkeyPatch, leaving: Answer, timeout: float
) -> None:
    """A pause that leads past the end is cut, so that a server which is back just before it is found."""
    monkeypatch.setattr("traffic_sign_client.connection.FAILOVER_S", 0.5)
    pauses = iter([0.0])
    monkeypatch.setattr("random.uniform", lambda low, high: next(pauses, 1000.0))
    script.answers = [GOOD, leaving]
    with SignClient(script.url, "http", timeout=timeout, retries=1) as client:
        client.metadata("m")
        begun = time.monotonic()
        with pytest.raises((NotServedError, UnavailableError)):
            client.metadata("m")
    assert len(script.asked) >= 3, "it waits for the last attempt; a busy machine may have no time for one between"
    assert time.monotonic() - begun > 0.4


def test_who_wants_no_retries_and_who_asks_too_much_is_answered_at_once(script: Script) -> None:
    for answer, retries in ((UNLOADED, 0), (BUSY, 0), ((429, "{}"), 1)):
        script.asked, script.answers = [], [GOOD, answer]
        with SignClient(script.url, "http", retries=retries) as client:
            client.metadata("m")
            with pytest.raises(ClientError):
                client.metadata("m")
        assert len(script.asked) == 2 + retries


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'm' has no available versions"),
        (grpc.StatusCode.UNAVAILABLE, "Server is stopping, scheduler for model has stopped accepting new requests"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
    ],
)
def test_what_grpc_says_of_a_server_that_ends_is_asked_again(code: grpc.StatusCode, said: str) -> None:
    """A real tritonserver says so for an instant only: a gRPC server with its protocol says it as often as wanted."""
    asked: list[str] = []

    class Leaving(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
            asked.append(context.peer())
            if 1 < len(asked) < 6:
                context.abort(code, said)
            return service_pb2.ModelMetadataResponse(name="m")

    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Leaving(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with SignClient(f"127.0.0.1:{port}", retries=1) as client:
            assert [client.metadata("m")["name"] for _ in range(2)] == ["m", "m"]
    finally:
        server.stop(None).wait()
    assert len(asked) == 6
    assert len(set(asked)) >= 5, "each time over a new connection"
