"""Whether a new version does worse than the old one, by the queries that the chart judges a canary with.

The two are told apart by labels of their series, where both serve at once; or by time, where one took the other's
place: then the old one is looked at in the window that ended when it was replaced.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from monitoring.drift.prometheus import Prometheus
from monitoring.errors import MonitoringError

CHECKS = Path(__file__).with_name("canary-checks.yaml")
UNJUDGED = "info"  # the severity of a check that says that there is nothing to judge by
IN_A_ROW = 2  # looks that must agree before the end: the first requests of a new version are slow

State = Literal["fine", "worse", "unclear"]


@dataclass(frozen=True)
class Check:
    """One question to Prometheus, which has a result exactly when the new version does worse.

    Attributes:
        name: of the question.
        severity: critical, warning, or `info` where a result means that it cannot be judged.
        summary: what a result says, in one sentence.
        query: PromQL with CHAMPION, CHALLENGER and WINDOW to be filled in.
        counts: name of the counter that both versions must have moved before the lack of a result says that all is
            well, for controllers that read a number; empty for the check of too few requests.
    """

    name: str
    severity: str
    summary: str
    query: str
    counts: str = ""


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        old: label matchers of the old version's series, as `track="stable"`; empty for all.
        new: likewise of the new one.
        window_s: seconds to look back.
        since: when the new version took the old one's place, in seconds since 1970; None where both serve at once.
    """

    old: str = ""
    new: str = ""
    window_s: float = 300.0
    since: float | None = None

    def fill(self, query: str, now: float) -> str:
        """Returns a query with everything filled in, as asked at a moment."""
        window = f"{round(self.window_s)}s"
        if self.since is None:
            return query.replace("CHAMPION", self.old).replace("CHALLENGER", self.new).replace("WINDOW", window)
        elapsed = f"{round(max(1.0, min(self.window_s, now - self.since)))}s"
        before = f"{{{self.old}}}[{window}] @ {self.since:.3f}"
        return query.replace("{CHAMPION}[WINDOW]", before).replace("CHALLENGER", self.new).replace("WINDOW", elapsed)


@dataclass(frozen=True)
class Judgement:
    """What a look, or a whole watch, came to.

    Attributes:
        state: the verdict.
        reasons: a sentence for each check that says worse; or why it cannot be judged.
        looks: how often Prometheus was asked.
    """

    state: State
    reasons: list[str] = field(default_factory=list)
    looks: int = 1


def load_checks(path: Path = CHECKS) -> list[Check]:
    """Reads the checks.

    Raises:
        MonitoringError: the file cannot be read, or a check lacks what is filled in.
    """
    try:
        checks = [Check(**each) for each in yaml.safe_load(path.read_text())["checks"]]
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise MonitoringError(f"{path} cannot be used ({error}): install the package again") from error
    for check in checks:
        if "{CHALLENGER}[WINDOW]" not in check.query or "CHAMPION" in check.query.replace("{CHAMPION}[WINDOW]", ""):
            raise MonitoringError(f"{path}: {check.name} does not have the form that can be filled in")
    return checks


def look(prometheus: Prometheus, comparison: Comparison, checks: list[Check], now: float) -> Judgement:
    """Asks everything once.

    Raises:
        MonitoringError: Prometheus does not answer, or refuses a query.
    """
    found = [check for check in checks if prometheus.ask(comparison.fill(check.query, now), now)]
    unjudged = [check.summary for check in found if check.severity == UNJUDGED]
    if unjudged:
        return Judgement("unclear", unjudged)
    reasons = [f"{check.name}: {check.summary}" for check in found]
    return Judgement("worse" if reasons else "fine", reasons)


def watch(
    prometheus: Prometheus,
    comparison: Comparison,
    duration_s: float,
    interval_s: float,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Judgement:
    """Looks again and again for a time; ends at once where two looks in a row say worse.

    Args:
        prometheus: whom to ask.
        comparison: of what.
        duration_s: how long, in seconds.
        interval_s: from one look to the next, in seconds.
        tell: receives in one sentence when the judgement changes.
        clock: tells the time in seconds since 1970.
        sleep: waits so many seconds.

    Returns:
        The last judgement: `unclear` where too few requests came, or Prometheus did not answer in the end.
    """
    checks, end = load_checks(), clock() + duration_s
    worse, looks, before = 0, 0, ""
    while True:
        now = clock()
        looks += 1
        try:
            judged = look(prometheus, comparison, checks, now)
        except MonitoringError as error:
            judged = Judgement("unclear", [str(error)])
        worse = worse + 1 if judged.state == "worse" else 0
        sentence = "; ".join([judged.state, *judged.reasons])
        if sentence != before:
            tell(sentence)
        before = sentence
        if worse >= IN_A_ROW or now >= end:
            return Judgement(judged.state, judged.reasons, looks)
        sleep(min(interval_s, max(0.0, end - now)))
