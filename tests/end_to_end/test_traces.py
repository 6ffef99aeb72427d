"""One trace from the caller through the gateway into Triton, in a collector that takes OTLP.

tritonserver 2.51 overlooks some of the `traceparent`s that come over gRPC, about one in thirty, and none that come over
HTTP. So each test that waits for its spans asks several times and looks at a request that it did not overlook.
"""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from serving.install import Installation
from serving.server import RunningServer, running_server, tracing
from tests.end_to_end.street import encode, street
from tests.otlp_collector import Collected, Collector, collecting
from tests.running_gateway import COMMAND, ROOT, RunningGateway, running_gateway, wait_for

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]
PNG = {"Content-Type": "image/png"}
CALLER = "b7ad6b7169203331"
WITHOUT = "import sys; sys.modules['opentelemetry.exporter'] = None; "  # as if the extra were not there
# ms between what is sent; 5,000 if nobody says so.
QUICKLY = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
TRITON_QUICKLY = "--trace-config=opentelemetry,bsp_schedule_delay=100"
ATTEMPTS = 6


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def traced_server(
    installation: Installation,
    recognizer_repository: Path,
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("traced") / "tritonserver.log"
    with running_server(
        installation, recognizer_repository, log, extra_arguments=(*tracing(collector.url), TRITON_QUICKLY)
    ) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(traced_server: RunningServer, collector: Collector) -> Iterator[RunningGateway]:
    options = ("--traces", collector.url, "--timeout", "60")
    with running_gateway(traced_server.grpc_url, *options, **QUICKLY) as running:
        yield running


def begun(trace: str, sampled: bool = True) -> dict[str, str]:
    """Returns the header of a caller who has begun a trace."""
    return {"traceparent": f"00-{trace}-{CALLER}-{int(sampled):02}"}


def joined(gateway: RunningGateway, collector: Collector, headers: dict[str, str]) -> list[Collected]:
    """Asks about a photograph in several traces; returns the spans of one that Triton has joined."""
    traces = [secrets.token_hex(16) for _ in range(ATTEMPTS)]
    for trace in traces:
        answer = gateway.ask("/v1/recognize", encode(street(CELLS)), PNG | headers | begun(trace))
        assert len(answer.json["signs"]) == len(CELLS)

    def complete() -> list[list[Collected]]:
        found = map(collector.trace, traces)
        return [spans for spans in found if {"POST /v1/recognize", "InferRequest"} <= {span.name for span in spans}]

    wait_for(complete)
    return complete()[0]


def one(spans: list[Collected], name: str) -> Collected:
    (found,) = (span for span in spans if span.name == name)
    return found


def test_the_spans_of_caller_gateway_and_triton_are_one_trace(gateway: RunningGateway, collector: Collector) -> None:
    spans = joined(gateway, collector, {"X-Request-ID": "tablet-7"})
    asked = one(spans, "POST /v1/recognize")
    assert (asked.service, asked.kind, asked.parent) == ("signs-gateway", Span.SPAN_KIND_SERVER, CALLER)
    assert asked.attributes == {
        "http.request.method": "POST",
        "url.path": "/v1/recognize",
        "http.route": "/v1/recognize",
        "http.response.status_code": 200,
        "signs.request_id": "tablet-7",
        "signs.outcome": "ok",
    }
    question = one(spans, "infer sign_recognizer")
    assert (question.kind, question.parent) == (Span.SPAN_KIND_CLIENT, asked.id)
    received = one(spans, "InferRequest")
    assert (received.service, received.parent) == ("triton", question.id)
    recognized = one(spans, "sign_recognizer")
    assert recognized.parent == received.id
    assert recognized.attributes["triton.request_id"] == "tablet-7"
    for model in ("sign_detector", "sign_classifier"):
        called = one(spans, model)
        assert called.parent == recognized.id and recognized.start < called.start < called.end
    for inner, outer in ((question, asked), (received, question), (recognized, received)):
        assert outer.start <= inner.start < inner.end, (inner, outer)
        assert inner.start < outer.end, (inner, outer)
    # Triton closes its spans when it has let go of a request, which may be after the answer was read.
    assert question.end <= asked.end


def test_a_trace_begins_at_the_gateway_where_no_caller_has_begun_one(
    gateway: RunningGateway, collector: Collector
) -> None:
    gateway.ask("/v1/classify", encode(street([(1, 1)]).crop((20, 20, 90, 90))), PNG | {"X-Request-ID": "alone"})
    gateway.ask("/v1/recognize", b"no picture", PNG | {"X-Request-ID": "broken"})
    gateway.ask("/v1/nothing", b"", {"X-Request-ID": "nowhere"})

    def first(request_id: str) -> list[Collected]:
        return [
            span
            for span in collector.spans
            if span.attributes.get("signs.request_id") == request_id and span.kind == Span.SPAN_KIND_SERVER
        ]

    wait_for(lambda: all(map(first, ("alone", "broken", "nowhere"))))
    (alone,), (broken,), (nowhere,) = map(first, ("alone", "broken", "nowhere"))
    assert {alone.parent, broken.parent, nowhere.parent} == {""} and len(
        {alone.trace, broken.trace, nowhere.trace}
    ) == 3
    names = {span.name for span in collector.trace(alone.trace)}
    assert names >= {"POST /v1/classify", "describe sign_classifier", "infer sign_classifier"}
    assert (broken.attributes["http.response.status_code"], broken.attributes["signs.outcome"]) == (400, "client_error")
    assert not broken.failed and one(collector.trace(broken.trace), "infer sign_recognizer").failed
    assert nowhere.name == "POST" and nowhere.attributes["http.response.status_code"] == 404


def test_what_the_caller_does_not_trace_nobody_does(gateway: RunningGateway, collector: Collector) -> None:
    """Nor does Triton by itself: what comes without a trace begins none there."""
    silent = secrets.token_hex(16)
    assert gateway.ask("/v1/recognize", encode(street(CELLS)), PNG | begun(silent, sampled=False)).status == 200
    assert gateway.ask("/healthz").status == 200
    joined(gateway, collector, {})  # what came before it has arrived, too
    assert collector.trace(silent) == []
    assert not [span for span in collector.spans if span.service == "triton" and not span.parent]
    assert not [span for span in collector.spans if span.attributes.get("url.path") == "/healthz"]


def test_a_gateway_that_ends_sends_what_is_left_and_one_without_a_collector_answers(
    traced_server: RunningServer, collector: Collector
) -> None:
    trace = "3" * 32
    with running_gateway(traced_server.grpc_url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as gateway:
        assert gateway.ask("/v1/recognize", encode(street(CELLS)), PNG | begun(trace)).status == 200
        assert gateway.stop() == 0
    assert one(collector.trace(trace), "POST /v1/recognize").parent == CALLER
    with running_gateway(traced_server.grpc_url, "--traces", "http://127.0.0.1:9", **QUICKLY) as gateway:
        assert gateway.ask("/v1/recognize", encode(street(CELLS)), PNG).status == 200
        wait_for(lambda: any("exporting spans" in line["message"] for line in gateway.log()))
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "give the address of a collector, such as http://localhost:4318"),
        (WITHOUT, "pip install '.[gateway,tracing]'"),
    ],
)
def test_traces_that_cannot_be_say_what_to_do(command: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", command + COMMAND[2], "gateway", "--port", "0", "--traces", "localhost:4318"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and said in done.stderr and done.stderr.startswith("signs: "), done.stderr
