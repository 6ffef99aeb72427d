"""Compares a new version with the old one in Prometheus, by the queries that the chart's canary check uses.

If both versions serve at the same time, labels of their series distinguish them. If one has replaced the other, time
does: the old version is measured in the window before its replacement.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from monitoring.drift.prometheus import Prometheus
from monitoring.errors import MonitoringError

CHECKS = Path(__file__).with_name("canary-checks.yaml")
INCONCLUSIVE = "info"  # severity of a check that finds too few requests for a comparison
IN_A_ROW = 2  # consecutive bad looks that end the watch early: the first requests of a new version are slow

State = Literal["fine", "worse", "unclear"]


@dataclass(frozen=True)
class Check:
    """One query to Prometheus, which has a result only if the new version is worse."""

    name: str
    severity: str  # critical or warning; `info` if a result means too few requests for a comparison
    summary: str  # the meaning of a result, in one sentence
    query: str  # PromQL with the placeholders CHAMPION, CHALLENGER and WINDOW
    # Counter that must have increased for both versions before an empty result counts as good, for controllers that
    # read a number; empty for the check of too few requests.
    counts: str = ""


@dataclass(frozen=True)
class Comparison:
    """The series to compare."""

    old: str = ""  # label matchers of the old version's series, such as `track="stable"`; empty for all
    new: str = ""  # the same of the new version
    window_s: float = 300.0  # length of the window in seconds
    since: float | None = None  # when new replaced old, in seconds since 1970; None if both serve at the same time

    def fill(self, query: str, now: float) -> str:
        """Fills the placeholders of a query for the time `now`, in seconds since 1970."""
        values = {"CHAMPION": self.old, "CHALLENGER": self.new, "WINDOW": f"{round(self.window_s)}s"}
        if self.since is not None:
            values["{CHAMPION}[WINDOW]"] = f"{{{self.old}}}[{values['WINDOW']}] @ {self.since:.3f}"
            values["WINDOW"] = f"{round(max(1.0, min(self.window_s, now - self.since)))}s"
        # In one pass: a label's value may contain the name of a placeholder.
        return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], query)


@dataclass(frozen=True)
class Verdict:
    """The result of one look or of a whole watch."""

    state: State  # `fine`, `worse` or `unclear`
    reasons: list[str] = field(default_factory=list)  # a sentence for each failed check, or why the state is unclear
    looks: int = 1  # how often Prometheus was queried


def load_checks() -> list[Check]:
    """Reads the checks of canary-checks.yaml."""
    return [Check(**each) for each in yaml.safe_load(CHECKS.read_text())["checks"]]


def look(prometheus: Prometheus, comparison: Comparison, checks: list[Check], now: float) -> Verdict:
    """Runs all checks once; raises MonitoringError if Prometheus does not answer, or refuses a query."""
    found = [check for check in checks if prometheus.ask(comparison.fill(check.query, now), now)]
    inconclusive = [check.summary for check in found if check.severity == INCONCLUSIVE]
    if inconclusive:
        return Verdict("unclear", inconclusive)
    reasons = [f"{check.name}: {check.summary}" for check in found]
    return Verdict("worse" if reasons else "fine", reasons)


def watch(
    prometheus: Prometheus,
    comparison: Comparison,
    duration_s: float,
    interval_s: float,
    notify: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Repeats all checks for a time; ends early after IN_A_ROW bad looks; `notify` receives each change of the verdict.

    Returns the last verdict: `unclear` after too few requests, or if Prometheus did not answer at the last look.
    """
    checks, end = load_checks(), clock() + duration_s
    worse, looks, before = 0, 0, ""
    while True:
        now = clock()
        looks += 1
        try:
            verdict = look(prometheus, comparison, checks, now)
        except MonitoringError as error:
            verdict = Verdict("unclear", [str(error)])
        worse = worse + 1 if verdict.state == "worse" else 0
        sentence = "; ".join([verdict.state, *verdict.reasons])
        if sentence != before:
            notify(sentence)
        before = sentence
        if worse >= IN_A_ROW or now >= end:
            return Verdict(verdict.state, verdict.reasons, looks)
        sleep(min(interval_s, max(0.0, end - now)))
