"""A collector of traces: takes what OpenTelemetry's exporters send over HTTP, as protobuf or as JSON."""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True)
class Collected:
    """A span as it arrived.

    Attributes:
        service: the service that made it.
        name: its name.
        kind: one of Span.SpanKind.
        trace: id of the trace, hexadecimal.
        id: id of the span, hexadecimal.
        parent: id of the parent, hexadecimal; empty for the first span of a trace.
        attributes: its attributes, by name.
        failed: whether its status is an error.
        start: nanoseconds since 1970.
        end: nanoseconds since 1970.
    """

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    start: int
    end: int


@dataclass
class Collector:
    """A collector that listens; `spans` are those that have arrived."""

    url: str
    spans: list[Collected] = field(default_factory=list)

    def trace(self, trace: str) -> list[Collected]:
        """Returns the spans of a trace, by their beginning."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.start)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listens for spans while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                collector.spans += _read(body, self.headers["Content-Type"])
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _read(body: bytes, kind: str) -> list[Collected]:
    if kind.startswith("application/json"):
        # OTLP writes ids in hexadecimal, protobuf's own JSON in base64.
        content = json.loads(body, object_hook=_with_base64_ids)
        request = json_format.ParseDict(content, ExportTraceServiceRequest())
    else:
        request = ExportTraceServiceRequest.FromString(body)
    return [
        Collected(
            str(_attributes(resource.resource).get("service.name")),
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _attributes(span),
            span.status.code == 2,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _with_base64_ids(content: dict[str, Any]) -> dict[str, Any]:
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode() if name in IDS else value
        for name, value in content.items()
    }


def _attributes(holder: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes}
