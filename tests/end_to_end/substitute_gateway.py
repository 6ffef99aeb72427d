"""Publishes the metrics of parts that cannot run here, by the contract in monitoring/README.md.

- The gateway is not written yet: `Gateway` counts the real calls of the tests' own client to a real Triton as a gateway
  would. When there is one, it takes the place of this class, and of the client in `monitoring_stack.Traffic`.
- The drift exporter (`signs monitor drift`) wants a reference and an hour of traffic: `publish_drift` says what it
  would.
- There is no GPU here: `publish_gpu` says what Triton would of one.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

ROUTE = "/v1/signs"
OUTCOMES = ("ok", "client_error", "overloaded", "upstream_error", "timeout", "internal_error")


class Gateway:
    """What the gateway counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "signs_gateway_"
        labels = ["route", "outcome"]
        self._requests = Counter(f"{prefix}requests", "Requests.", labels, registry=registry)
        edges = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
        self._durations = Histogram(
            f"{prefix}request_duration_seconds", "Durations.", labels, buckets=edges, registry=registry
        )
        self._failures = Counter(f"{prefix}upstream_failures", "Failed calls.", ["reason"], registry=registry)
        self._uploads = Histogram(
            f"{prefix}upload_bytes", "Uploads.", buckets=tuple(10.0**n for n in range(3, 9)), registry=registry
        )
        self.in_flight = Gauge(f"{prefix}in_flight", "In flight.", registry=registry)
        for outcome in OUTCOMES:
            self._requests.labels(ROUTE, outcome)
            self._durations.labels(ROUTE, outcome)
        for reason in ("unavailable", "deadline_exceeded"):
            self._failures.labels(reason)

    def has_answered_before(self, count: int) -> None:
        """Counts so many good requests of the past."""
        self._requests.labels(ROUTE, "ok").inc(count)
        child = self._durations.labels(ROUTE, "ok")
        for _ in range(count):
            child.observe(0.1)

    def answered(self, outcome: str, seconds: float, size: int) -> None:
        """Counts a request of `size` bytes."""
        self._requests.labels(ROUTE, outcome).inc()
        self._durations.labels(ROUTE, outcome).observe(seconds)
        self._uploads.observe(size)
        if outcome == "upstream_error":
            self._failures.labels("unavailable").inc()


def publish_drift(registry: CollectorRegistry, version: str) -> Gauge:
    """Publishes that nothing has drifted; returns the gauge `signs_drift_firing`, with `feature` and `version`."""
    prefix = "signs_drift_"
    labels = ["feature", "version"]
    score = Gauge(f"{prefix}score", "Population stability index.", labels, registry=registry)
    chance = Gauge(f"{prefix}p_value", "Chance without drift.", labels, registry=registry)
    firing = Gauge(f"{prefix}firing", "1: drifted.", labels, registry=registry)
    for feature in ("scene_brightness", "class_score"):
        score.labels(feature, version).set(0.03)
        chance.labels(feature, version).set(0.4)
        firing.labels(feature, version).set(0)
    Gauge(f"{prefix}samples", "Scenes.", ["version"], registry=registry).labels(version).set(250)
    Gauge(f"{prefix}last_success_timestamp_seconds", "When.", registry=registry).set_to_current_time()
    return firing


def publish_gpu(registry: CollectorRegistry) -> None:
    """Publishes what Triton tells of a GPU that is half full."""
    for name, value in (
        ("utilization", 0.4),
        ("memory_total_bytes", 80e9),
        ("memory_used_bytes", 40e9),
        ("power_usage", 200),
        ("power_limit", 700),
    ):
        Gauge(f"nv_gpu_{name}", "Of a GPU.", ["gpu_uuid"], registry=registry).labels("GPU-0").set(value)
