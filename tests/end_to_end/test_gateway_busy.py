"""A real gateway process whose models take their time, fail, or are gone: limits, deadlines, draining, readiness."""

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.install import Installation
from serving.server import RunningServer, running_server
from tests.running_gateway import Answer, RunningGateway, form, running_gateway, wait_for
from tests.slow_recognizer import asked, wait_until_noted, write_slow_recognizer

pytestmark = pytest.mark.end_to_end

NAME = "sign_recognizer"
BYTES = {"Content-Type": "application/octet-stream"}
NEED = ("--need", NAME)


def photograph(seconds: float, name: str) -> bytes:
    """Returns a picture that the slow recognizer takes so long for."""
    return b"P6 1 1 255\n\x01\x02\x03 %g %s" % (seconds, name.encode())


def in_flight(gateway: RunningGateway) -> float:
    match = re.search(r"^signs_gateway_in_flight (\S+)$", gateway.ask("/metrics").body.decode(), re.MULTILINE)
    assert match
    return float(match[1])


@pytest.fixture(autouse=True)
def _unread(slow_repository: Path) -> None:
    asked(slow_repository, NAME)


@pytest.fixture(scope="module")
def gateway(slow_server: RunningServer) -> Iterator[RunningGateway]:
    options = (*NEED, "--concurrency", "1", "--queue", "1", "--timeout", "100", "--upload-timeout", "1")
    with running_gateway(slow_server.grpc_url, *options) as running:
        yield running


def post(pool: ThreadPoolExecutor, gateway: RunningGateway, seconds: float, name: str) -> "Future[Answer]":
    return pool.submit(gateway.ask, "/v1/recognize", photograph(seconds, name), BYTES | {"X-Request-ID": f"id-{name}"})


def test_more_than_it_takes_is_turned_away(gateway: RunningGateway, slow_repository: Path) -> None:
    """One is answered, one waits; the third is refused with a time to retry, and the two are answered in order."""
    with ThreadPoolExecutor() as pool:
        first = post(pool, gateway, 3, "first")
        wait_until_noted(slow_repository, NAME, "first begun id-first")
        second = post(pool, gateway, 0, "second")
        wait_for(lambda: in_flight(gateway) == 2)
        third = gateway.ask("/v1/recognize", photograph(0, "third"), BYTES)
        assert third.status == 429 and third.headers["Retry-After"] == "1"
        assert third.headers["Content-Type"] == "application/problem+json"
        assert not first.done() and gateway.ask("/healthz").status == 200
        assert [first.result().status, second.result().status] == [200, 200]
    # The server may still be busy with what the tests of another module gave up.
    notes = [line for line in asked(slow_repository, NAME) if line.split()[0] in ("first", "second", "third")]
    assert notes == ["first begun id-first", "first done", "second begun id-second", "second done"]
    assert in_flight(gateway) == 0
    line = next(each for each in reversed(gateway.log()) if each.get("status") == 429)
    assert (line["outcome"], line["problem"]) == ("overloaded", "overloaded")


def test_each_picture_of_many_has_an_id_of_its_own(gateway: RunningGateway, slow_repository: Path) -> None:
    body, headers = form(*(("image", f"{name}.ppm", photograph(0, name)) for name in "ab"))
    answer = gateway.ask("/v1/recognize", body, headers | {"X-Request-ID": "many"})
    assert [each["signs"][0]["name"] for each in answer.json["results"]] == ["a", "b"]
    assert {line for line in asked(slow_repository, NAME) if "begun" in line} == {"a begun many.0", "b begun many.1"}


def test_a_caller_that_goes_away_leaves_its_turn_to_others(gateway: RunningGateway) -> None:
    data = photograph(5, "left")
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        head = f"POST /v1/recognize HTTP/1.1\r\nHost: x\r\nContent-Type: image/x\r\nContent-Length: {len(data)}\r\n\r\n"
        caller.sendall(head.encode() + data)
        wait_for(lambda: in_flight(gateway) == 1)
    wait_for(lambda: in_flight(gateway) == 0)
    answer = gateway.ask("/v1/recognize", photograph(0, "next"), BYTES)
    assert answer.status == 200 and answer.json["signs"][0]["name"] == "next"
    assert any(line["message"] == "the caller disconnected" for line in gateway.log())


def test_an_upload_that_never_ends_is_ended(gateway: RunningGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as caller:
        caller.sendall(
            b"POST /v1/recognize HTTP/1.1\r\nHost: x\r\nContent-Type: image/x\r\nContent-Length: 99\r\n\r\nx"
        )
        assert caller.recv(12) == b"HTTP/1.1 408"


def test_what_is_too_large_is_refused_while_it_is_read(gateway: RunningGateway) -> None:
    """Without a length that is known before: 64 MiB in pieces; the answer comes, and what was sent is not kept."""

    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    request = urllib.request.Request(gateway.url + "/v1/recognize", pieces(), BYTES)
    before = resident(gateway)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=120)
    with raised.value as error:
        assert error.code == 413 and json.load(error)["type"] == "/docs#too-large"
    assert resident(gateway) < before + (48 << 20)
    assert gateway.ask("/healthz").status == 200


def resident(gateway: RunningGateway) -> int:
    """Returns the most memory that the gateway has had, in bytes."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) << 10


def test_what_is_no_http_gets_a_problem_too(gateway: RunningGateway) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    for words in (b"\x16\x03\x01\x02\x00", b"GET /\r\n\r\n", b"POST / HTTP/1.1\r\nHost\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=60) as caller:
            caller.sendall(words + b"\r\n\r\n")
            answer = b"".join(iter(lambda: caller.recv(4096), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400") and b"application/problem+json" in head
        assert json.loads(body)["status"] == 400
    assert gateway.ask("/healthz").status == 200


def test_a_deadline_ends_the_wait_in_the_gateway_and_in_triton(
    slow_server: RunningServer, slow_repository: Path
) -> None:
    """The recognizer takes one photograph at once; the second one's time is up before its turn, and it is dropped."""
    asked(slow_repository, "busy_recognizer")
    options = ("--recognizer", "busy_recognizer", "--need", "busy_recognizer", "--timeout", "3", "--retries", "0")
    with running_gateway(slow_server.grpc_url, *options) as gateway, ThreadPoolExecutor() as pool:
        assert gateway.ask("/v1/recognize", photograph(0, "before"), BYTES).status == 200
        first = post(pool, gateway, 6, "long")
        wait_until_noted(slow_repository, "busy_recognizer", "long begun id-long")
        second = post(pool, gateway, 0, "late")
        for answer in (first.result(), second.result()):
            assert answer.status == 504 and answer.headers["Retry-After"]
            assert answer.json["type"] == "/docs#timeout"
        wait_until_noted(slow_repository, "busy_recognizer", "long done")
        wait_for(lambda: gateway.ask("/v1/recognize", photograph(0, "after"), BYTES).status == 200)
        assert not any("late" in line for line in asked(slow_repository, "busy_recognizer"))
        text = gateway.ask("/metrics").body.decode()
        assert 'signs_gateway_requests_total{outcome="timeout",route="/v1/recognize"} 2.0' in text
        assert 'signs_gateway_upstream_failures_total{reason="deadline_exceeded"} 2.0' in text


def test_sigterm_lets_it_finish_what_it_has_begun(slow_server: RunningServer, slow_repository: Path) -> None:
    """Not ready any more, it still answers for the delay; then it ends, with code 0."""
    with (
        running_gateway(slow_server.grpc_url, *NEED, "--drain-delay", "2", "--timeout", "100") as gateway,
        ThreadPoolExecutor() as pool,
    ):
        assert gateway.ask("/readyz").status == 200
        begun = post(pool, gateway, 5, "begun")
        wait_until_noted(slow_repository, NAME, "begun begun id-begun")
        gateway.process.send_signal(signal.SIGTERM)
        wait_for(lambda: gateway.ask("/readyz").status == 503)
        assert gateway.ask("/healthz").status == 200
        assert begun.result().status == 200 and begun.result().json["signs"][0]["name"] == "begun"
        assert gateway.process.wait(60) == 0


def test_a_drain_is_bounded(slow_server: RunningServer, slow_repository: Path) -> None:
    with (
        running_gateway(slow_server.grpc_url, *NEED, "--drain-timeout", "1", "--timeout", "100") as gateway,
        ThreadPoolExecutor() as pool,
    ):
        endless = post(pool, gateway, 30, "endless")
        wait_until_noted(slow_repository, NAME, "endless begun id-endless")
        assert gateway.stop() == 0
        assert "endless done" not in asked(slow_repository, NAME)
        assert endless.exception() is not None or endless.result().status >= 500


def test_a_failed_version_elsewhere_does_not_make_it_unready(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Triton's own readiness stays false for as long as any model has failed to load, although the others answer."""
    repository = tmp_path_factory.mktemp("half_broken")
    write_slow_recognizer(repository, NAME, instances=1)
    write_slow_recognizer(repository, "broken", instances=1)
    (repository / "broken" / "1" / "model.py").write_text("raise RuntimeError('broken')")
    log = tmp_path_factory.mktemp("half_broken_log") / "tritonserver.log"
    only = ("--model-control-mode=explicit", f"--load-model={NAME}")
    with (
        running_server(installation, repository, log, extra_arguments=only) as server,
        running_gateway(server.grpc_url, *NEED) as gateway,
    ):
        load = urllib.request.Request(f"http://{server.http_url}/v2/repository/models/broken/load", b"{}")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(load, timeout=60)
        refused.value.close()
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready", timeout=60)
        unready.value.close()
        assert gateway.ask("/readyz").status == 200
        assert gateway.ask("/v1/recognize", photograph(0, "fine"), BYTES).status == 200
        unload = urllib.request.Request(f"http://{server.http_url}/v2/repository/models/{NAME}/unload", b"{}")
        urllib.request.urlopen(unload, timeout=60).close()
        wait_for(lambda: gateway.ask("/readyz").status == 503)
        answer = gateway.ask("/v1/recognize", photograph(0, "gone"), BYTES)
        assert answer.status == 503 and "not served" in answer.json["detail"]


def test_a_port_that_is_taken_is_one_line(slow_server: RunningServer, gateway: RunningGateway) -> None:
    from tests.running_gateway import COMMAND, ROOT

    port = gateway.url.rpartition(":")[2]
    command = [*COMMAND, "--port", port]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1 and "signs: " in done.stderr.splitlines()[-1], done.stderr
