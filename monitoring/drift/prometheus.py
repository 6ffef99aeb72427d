"""Client of Prometheus' API; reads the increases of the recognizer's metrics in a window of time."""

import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from monitoring.drift.features import CLASSES, EMPTY, HISTOGRAMS, Edges
from monitoring.drift.statistics import Counts
from monitoring.errors import MonitoringError
from serving.recognizer.buckets import PREFIX
from traffic_signs.direct import open_url

TIMEOUT_S = 15.0
MOST_BYTES = 16_000_000  # of an answer, a hundred times the usual size
# `increase` extrapolates each bucket separately, so neighbours may differ a little.
SLACK = 0.01
Series = tuple[dict[str, str], float, float]  # labels, time in seconds since 1970, and value
T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """The counts of one version of the recognizer."""

    scenes: float  # photographs answered
    counts: dict[str, Counts] = field(default_factory=dict)  # [buckets] of each readable feature
    edges: dict[str, Edges] = field(default_factory=dict)  # of each readable histogram
    problems: dict[str, str] = field(default_factory=dict)  # why a feature is unreadable, by feature
    class_names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server."""

    url: str  # http://HOST:PORT
    window: str = "1h"  # its length in Prometheus' format: 30m, 1h
    selector: str = ""  # additional label matchers, such as `namespace="production"`; empty for none

    def read_windows(self) -> dict[str, Window]:
        """Returns the counts of each version, by version; restarts of the server do not matter.

        Raises MonitoringError if Prometheus does not answer, or the answer is not from a Prometheus.
        """
        scenes = self._increases("scenes_total")
        now = scenes[0][1] if scenes else None  # all queries are for the same time by Prometheus' own clock
        found = {name: _by_version(self._increases(f"{name}_bucket", "le", at=now), "le") for name in HISTOGRAMS}
        found[EMPTY] = _by_version(self._increases("empty_scenes_total", at=now))
        signs = self._increases("signs_total", "class_id", "name", at=now)
        found[CLASSES] = _by_version(signs, "class_id")
        names: dict[str, dict[int, str]] = {}
        for labels, _, _ in signs:
            if labels.get("class_id", "").isdecimal() and labels.get("name"):
                names.setdefault(labels.get("version", ""), {})[int(labels["class_id"])] = labels["name"]
        windows = {}
        for version, series in _by_version(scenes).items():
            window = windows[version] = Window(series[""], class_names=names.get(version, {}))
            for feature, by_version in found.items():
                try:
                    window.counts[feature], edges = _read(feature, by_version.get(version, {}), window.scenes)
                except ValueError as error:
                    window.problems[feature] = str(error)
                    continue
                if edges:
                    window.edges[feature] = edges
        return windows

    def _increases(self, metric: str, *labels: str, at: float | None = None) -> list[Series]:
        """Returns the increase of a counter in the window that ends at `at`, by version and `labels`."""
        matchers = f"{{{self.selector}}}" if self.selector else ""
        by = ", ".join(("version", *labels))
        return self.ask(f"sum by ({by}) (increase({PREFIX}{metric}{matchers}[{self.window}]))", at)

    def alerts(self) -> list[dict[str, Any]]:
        """Returns all alerts, also pending ones, with `labels`, `annotations`, `state`, `activeAt` and `value`.

        Raises MonitoringError if Prometheus does not answer, or the answer is not from a Prometheus.
        """
        found: list[dict[str, Any]] = self._get("alerts", None, lambda data: [dict(each) for each in data["alerts"]])
        return found

    def ask(self, query: str, at: float | None = None) -> list[Series]:
        """Returns the series in the result of a PromQL query for an instant vector.

        `at` is the time of evaluation in seconds since 1970; None is now. Raises MonitoringError if Prometheus does not
        answer or refuses the query, or the answer is not from a Prometheus.
        """
        moment = {} if at is None else {"time": f"{at:.3f}"}
        body = urllib.parse.urlencode({"query": query, "timeout": f"{TIMEOUT_S:g}s", **moment}).encode()

        def read(data: Any) -> list[Series]:
            if data["resultType"] != "vector":
                raise ValueError(data["resultType"])
            pairs = [(each["metric"], each["value"]) for each in data["result"]]
            return [(dict(labels), float(when), float(value)) for labels, (when, value) in pairs]

        return self._get("query", body, read, query)

    def _get(self, what: str, body: bytes | None, read: Callable[[Any], T], query: str = "") -> T:
        """Calls Prometheus' API and returns the data of its answer, parsed by `read`."""
        try:
            with _open(f"{self.url.rstrip('/')}/api/v1/{what}", body) as response:
                answer = json.loads(response.read(MOST_BYTES))
            if answer["status"] == "success":
                return read(answer["data"])
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise MonitoringError(
                f"Prometheus at {self.url} does not answer ({reason}): check --prometheus, and that it runs"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise MonitoringError(f"the server at {self.url} is not Prometheus: check --prometheus") from error
        raise MonitoringError(f"Prometheus at {self.url} refuses {query or what}: {answer.get('error', answer)}")


@contextmanager
def _open(url: str, body: bytes | None) -> Iterator[Any]:
    """Sends a request; for a refused query, yields the 4xx answer, whose body has the reason."""
    try:
        with open_url(urllib.request.Request(url, body), TIMEOUT_S) as response:
            yield response
    except urllib.error.HTTPError as error:
        with error:
            if error.headers.get_content_type() != "application/json":
                raise
            yield error


def _by_version(found: Iterable[Series], label: str = "") -> dict[str, dict[str, float]]:
    """Returns the values by version and by the value of a label."""
    values: dict[str, dict[str, float]] = {}
    for labels, _, value in found:
        values.setdefault(labels.get("version", ""), {})[labels.get(label, "")] = value
    return values


def _read(feature: str, series: Mapping[str, float], scenes: float) -> tuple[Counts, Edges | None]:
    """Returns the counts of one feature, and the edges if it is a histogram.

    Raises ValueError, whose message is the reason, if the counts are unusable.
    """
    if not series:
        raise ValueError("the server publishes no such metric")
    if not all(math.isfinite(value) for value in (*series.values(), scenes)):
        raise ValueError("Prometheus has no number for it")
    if feature == EMPTY:
        return np.array([max(0.0, scenes - series[""]), series[""]]), None
    if feature == CLASSES:
        if set(series) != {str(class_id) for class_id in range(len(series))}:
            raise ValueError("its classes are not all there")
        return np.array([series[str(class_id)] for class_id in range(len(series))]), None
    by_edge = sorted((float(edge), value) for edge, value in series.items())
    edges, below = (np.array(each) for each in zip(*by_edge, strict=True))
    if not math.isinf(edges[-1]) or len(edges) < 2:
        raise ValueError("its buckets are not all there")
    counts = np.diff(below, prepend=0.0)
    if (counts < -SLACK * max(below[-1], 1.0)).any():
        raise ValueError("its buckets contradict each other: are different releases published under one version?")
    return counts.clip(0.0), tuple(edges[:-1].tolist())
