"""Figures of the measurements: percentiles, medians over the rounds, and ratios."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

# A server keeps up with an open loop if it answers this share of the requests in time, less a few in flight at its end.
SUSTAINED, UNDER_WAY = 0.95, 3
BUSY = 0.7  # of a core: a load generator that uses more may itself be the bottleneck


@dataclass(frozen=True)
class Point:
    """One load on one server in one round."""

    clients: int  # of a closed loop; 0 for an open one
    rate: float  # requests a second that fell due in an open loop; 0 for a closed one
    throughput: float  # answers a second
    p50_ms: float
    p95_ms: float
    p99_ms: float
    requests: int
    failures: int = 0  # requests that were refused or cut off
    unanswered: int = 0  # requests of an open loop that still waited at its end
    generator_share: float = 0.0  # of one core, that the load generator used
    late_ms: float = 0.0  # how late requests of an open loop left although a connection was free, 99th percentile
    keeps_up: bool = True  # with an open loop; always true of a closed one

    @property
    def load(self) -> tuple[int, float]:
        """Identifies the load."""
        return self.clients, self.rate


def point(outcome: Mapping[str, Any], clients: int, rate: float) -> Point:
    """Returns the figures of a load from the load generator's JSON, see `clients.benchmark.peers.load.Outcome`."""
    latencies = np.asarray(outcome["latencies_us"], np.float64) / 1000
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)).tolist() if len(latencies) else [math.nan] * 3
    return Point(
        clients,
        rate,
        outcome["answered"] / outcome["seconds"],
        p50,
        p95,
        p99,
        requests=len(latencies),
        failures=outcome["failures"],
        unanswered=outcome["unanswered"],
        generator_share=outcome["cpu_share"],
        late_ms=outcome["late_us"] / 1000,
        # Compared with the requests that fell due: random arrivals are not exactly at their rate.
        keeps_up=not rate
        or (not outcome["unanswered"] and outcome["answered"] >= SUSTAINED * len(latencies) - UNDER_WAY),
    )


def over_rounds(points: Sequence[Point]) -> list[Point]:
    """Returns the median of each figure over the rounds, for each load in its order; failures are added up."""
    loads = list(dict.fromkeys(each.load for each in points))
    return [_median([each for each in points if each.load == load]) for load in loads]


def _median(points: Sequence[Point]) -> Point:
    def middle(name: str) -> float:
        values = [value for each in points if not math.isnan(value := getattr(each, name))]
        return float(median(values)) if values else math.nan

    figures: dict[str, Any] = {name: middle(name) for name in ("throughput", "p50_ms", "p95_ms", "p99_ms")}
    for name in ("requests", "failures", "unanswered"):
        figures[name] = sum(getattr(each, name) for each in points)
    for name in ("generator_share", "late_ms"):
        figures[name] = max(getattr(each, name) for each in points)
    return replace(points[0], **figures, keeps_up=all(each.keeps_up for each in points))


def within(points: Sequence[Point], budget_ms: float) -> Point | None:
    """Returns the closed loop with the highest throughput whose p99 is within a budget, or None."""
    good = [each for each in points if each.clients and each.p99_ms <= budget_ms]
    return max(good, key=lambda each: each.throughput, default=None)


def compare(ours: Sequence[Point], others: Mapping[str, Sequence[Point]], limit: float) -> dict[str, Any]:
    """Compares the medians of one server with those of others; `limit` is the requests a second without any server.

    Returns:
        `at`: by number of clients, `ours` and the `best` other with throughput and p99, the `ratio` of the throughputs
        and whether our p99 is no worse (`p99_holds`). `within`: by budget, the throughput of each server within it and
        the `ratio` of ours to the best other; a budget is the p99 of the best other at each number of clients from 8
        on. `of_limit`: our highest throughput divided by the limit. `alone`: p50 with one client, ours and that of the
        fastest other.
    """
    mine = {each.clients: each for each in ours if each.clients}
    at: dict[str, Any] = {}
    budgets: dict[str, Any] = {}
    for clients, point_of_ours in mine.items():
        rows = {name: each for name, points in others.items() for each in points if each.clients == clients}
        if not rows:
            continue
        name, best = max(rows.items(), key=lambda item: item[1].throughput)
        at[str(clients)] = {
            "best": name,
            "ours": {"throughput": point_of_ours.throughput, "p99_ms": point_of_ours.p99_ms},
            "theirs": {"throughput": best.throughput, "p99_ms": best.p99_ms},
            "ratio": _ratio(point_of_ours.throughput, best.throughput),
            "p99_holds": point_of_ours.p99_ms <= best.p99_ms,
        }
        if clients >= 8:
            budgets[f"{best.p99_ms:.1f}"] = _within_budget(ours, others, best.p99_ms)
    alone = {name: each.p50_ms for name, points in others.items() for each in points if each.clients == 1}
    return {
        "at": at,
        "within": budgets,
        "limit": limit,
        "of_limit": _ratio(max((each.throughput for each in mine.values()), default=0.0), limit),
        "alone": {
            "ours": mine[1].p50_ms if 1 in mine else None,
            "best": min(alone, key=lambda name: alone[name]) if alone else None,
            "theirs": min(alone.values()) if alone else None,
        },
    }


def _within_budget(ours: Sequence[Point], others: Mapping[str, Sequence[Point]], budget_ms: float) -> dict[str, Any]:
    def best(points: Sequence[Point]) -> float | None:
        found = within(points, budget_ms)
        return found.throughput if found else None

    theirs = {name: best(points) for name, points in others.items()}
    highest = max((each for each in theirs.values() if each), default=0.0)
    return {"ours": best(ours), "theirs": theirs, "ratio": _ratio(best(ours) or 0.0, highest)}


def _ratio(one: float, other: float) -> float | None:
    return one / other if other else None


def as_json(each: Point) -> dict[str, Any]:
    """Returns a point as JSON, with None for a figure that was not measured."""
    return {name: None if value != value else value for name, value in asdict(each).items()}
