"""Publishes the metrics of parts that cannot run here, by the contract in monitoring/README.md.

- `Gateway` counts the real calls of the tests' own client to a real Triton with the gateway's own counters. A real
  gateway has no good month behind it, against which a test's fault is small, is as slow as the machine, and turns away
  as much as it must; here all three are given. test_gateway_busy.py looks at what a real one counts.
- The drift exporter (`signs monitor drift`) wants a reference and an hour of traffic: `publish_drift` says what it
  would.
- There is no GPU here: `publish_gpu` says what Triton would of one.
"""

import contextlib
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge

from clients.errors import ClientError
from clients.gateway.metrics import Metrics

ROUTE = "/v1/recognize"
REFUSED, OVERLOADED, UNAVAILABLE = 400, 429, 503


class Gateway:
    """What the gateway counts."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._lock = threading.Lock()
        self._metrics = Metrics(lambda: self._in_flight)
        self.registry = self._metrics.registry

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Counts a request as in flight while the block runs."""
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def has_answered_before(self, count: int) -> None:
        """Counts so many good requests of the past."""
        for _ in range(count):
            self._metrics.answered(ROUTE, 200, 0.1)

    def answered(self, status: int, seconds: float, size: int) -> None:
        """Counts a request of `size` bytes."""
        self._metrics.answered(ROUTE, status, seconds)
        self._metrics.uploaded(size)

    def failed(self, error: ClientError) -> None:
        """Counts a call to Triton that failed."""
        self._metrics.failed(error)


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
