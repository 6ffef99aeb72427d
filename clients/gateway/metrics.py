"""The gateway's Prometheus metrics; monitoring/metrics.md has the contract."""

from collections.abc import Callable
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

PREFIX = "signs_gateway_"
ROUTES = ("/v1/recognize", "/v1/classify")  # these call a model
OUTCOMES = ("ok", "client_error", "overloaded", "upstream_error", "timeout", "internal_error")
REASONS = ("unavailable", "overloaded", "deadline_exceeded", "unknown_model", "other")
STORED = ("stored", "refused", "failed")
# 0.5 s is the objective (monitoring/prometheus/gateway.yaml); the others make its quantiles.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BYTES = tuple(float(1 << power) for power in range(10, 28, 2))  # 1 KiB to 64 MiB


class Metrics:
    """The metrics of one gateway, with a registry of their own; `in_flight` returns the number of requests in progress.

    Every series exists from the start, so that `rate()` counts the first event.
    """

    def __init__(self, in_flight: Callable[[], float]) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._requests = Counter(f"{PREFIX}requests", "Requests.", ["route", "outcome"], registry=registry)
        self._durations = Histogram(
            f"{PREFIX}request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self.uploads = Histogram(f"{PREFIX}upload_bytes", "Bodies of requests.", buckets=BYTES, registry=registry)
        self.failures = Counter(
            f"{PREFIX}upstream_failures", "Calls to Triton that failed.", ["reason"], registry=registry
        )
        self._feedback = Counter(f"{PREFIX}feedback", "Feedback that was sent.", ["outcome"], registry=registry)
        Gauge(f"{PREFIX}in_flight", "Requests being answered.", registry=registry).set_function(in_flight)
        for route, outcome in product(ROUTES, OUTCOMES):
            self._requests.labels(route, outcome)
            self._durations.labels(route, outcome)
        for reason in REASONS:
            self.failures.labels(reason)
        for outcome in STORED:
            self._feedback.labels(outcome)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts a request; of the routes that call no model only feedback."""
        if route in ROUTES:
            outcome = outcome_of(status)
            self._requests.labels(route, outcome).inc()
            self._durations.labels(route, outcome).observe(seconds)
        elif route == "/v1/feedback":
            self._feedback.labels("stored" if status < 400 else "refused" if status < 500 else "failed").inc()


def outcome_of(status: int) -> str:
    """Returns one of OUTCOMES for the status of an answer; 0 means that the caller left before it."""
    if status == 429:
        return "overloaded"
    if status in (502, 503):
        return "upstream_error"
    if status == 504:
        return "timeout"
    if status >= 500:
        return "internal_error"
    return "ok" if 0 < status < 400 else "client_error"
