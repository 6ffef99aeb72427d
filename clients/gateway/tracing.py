"""The gateway's spans, sent to a collector over OTLP and HTTP (extra `tracing`).

Each request under /v1 has a span, with a child span for each call of Triton, whose own spans join by the header
`traceparent` of W3C Trace Context. OpenTelemetry reads its standard variables, such as OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS. FastAPI's instrumentation is off: it misses requests that are
answered before FastAPI and includes probes.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request

from clients.gateway.metrics import outcome_of
from traffic_sign_client.errors import ClientError

PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans and sends them in batches from its own thread; a missing collector does not affect answers.

    `url` is the address of the collector, without /v1/traces.

    Raises:
        ClientError: the address or a standard variable is invalid.
    """

    def __init__(self, url: str) -> None:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
            raise ClientError(f"--traces {url!r}: give the address of a collector, such as http://localhost:4318")
        # The environment overrides our name.
        resource = Resource.create({SERVICE_NAME: "signs-gateway", SERVICE_VERSION: version("traffic-sign-mlops")})
        try:
            self._provider = TracerProvider(
                resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
            )
            exporter = OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces")
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        except (OSError, ValueError) as error:
            raise ClientError(f"cannot send traces ({error}): fix the variables that begin with OTEL_") from error
        self._tracer = self._provider.get_tracer("clients.gateway")

    def close(self) -> None:
        """Sends the remaining spans, which takes some seconds at most."""
        self._provider.shutdown()

    @contextmanager
    def request(self, request: Request, status: Callable[[], int]) -> Iterator[None]:
        """Makes the span of a request, a child of the caller's if there is one; `status` returns that of the answer."""
        attributes = {
            "http.request.method": request.method,
            "url.path": request.scope["path"][:200],
            "signs.request_id": request.state.request_id,
        }
        parent = PROPAGATOR.extract(request.headers)
        with self._tracer.start_as_current_span(request.method, parent, SpanKind.SERVER, attributes) as span:
            try:
                yield
            finally:
                _answered(span, request, status())

    @contextmanager
    def question(self, what: str, model: str, request_id: str) -> Iterator[None]:
        """Makes the span of a call of Triton, with its retries; `what` is infer or describe."""
        attributes = {"rpc.system": "grpc", "signs.model": model, "signs.request_id": request_id}
        with self._tracer.start_as_current_span(
            f"{what} {model}", kind=SpanKind.CLIENT, attributes=attributes, record_exception=False
        ):
            yield

    def headers(self) -> dict[str, str]:
        """Returns the headers by which Triton's spans join the current one; none if the request is not traced.

        Triton traces every request with a `traceparent`, even if that is not sampled.
        """
        carrier: dict[str, str] = {}
        if get_current_span().get_span_context().trace_flags.sampled:
            PROPAGATOR.inject(carrier)
        return carrier


def _answered(span: Span, request: Request, status: int) -> None:
    """Records the answer."""
    route = getattr(request.scope.get("route"), "path", None)
    if route:  # other paths would give any number of span names
        span.update_name(f"{request.method} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("signs.outcome", outcome_of(status))
    if status:
        span.set_attribute("http.response.status_code", status)
    problem = getattr(request.state, "problem", None)
    if problem is not None:
        span.set_attribute("error.type", problem.kind.name)
    if status >= 500:
        span.set_status(StatusCode.ERROR, problem.detail if problem is not None else None)
