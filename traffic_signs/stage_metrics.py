"""What a stage of the pipeline leaves for Prometheus: a stage ends, and its figures must outlive it.

Nothing is written unless it is asked for. `SIGNS_METRICS_DIR` names a folder that node_exporter's textfile collector
reads; `SIGNS_PUSHGATEWAY_URL` is the address of a Pushgateway, for stages that run in containers. Each part replaces
only what the same stage for the same model left there before, and a failed run leaves the figures of the last good one
alone. README.md of monitoring explains each metric.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway, write_to_textfile

PREFIX = "signs_pipeline_"
JOB = "signs_pipeline"
PUSH_TIMEOUT_S = 5.0
ABOUT = {
    "last_start_timestamp_seconds": "When the stage last began.",
    "last_end_timestamp_seconds": "When the stage last ended, with a result or without.",
    "last_success_timestamp_seconds": "When the stage last ended with a result.",
    "duration_seconds": "How long the last run with a result took.",
    "examples": "Training examples of the last run with a result.",
    "version": "Number of the version that the stage last published or judged.",
    "gate_passed": "1 where the gate let that version pass, 0 where it refused it.",
    "figure": "Figures of the last run with a result, by name.",
}


@dataclass
class StageResult:
    """What a run of a stage came to; the stage fills in what it knows.

    Attributes:
        examples: how many it learned from.
        version: number of the version that it published or judged.
        gate_passed: the gate's verdict.
        figures: others by name, as accuracies.
    """

    examples: int | None = None
    version: int | None = None
    gate_passed: bool | None = None
    figures: dict[str, float] = field(default_factory=dict)


@contextmanager
def recorded_stage(stage: str, model: str, tell: Callable[[str], None]) -> Iterator[StageResult]:
    """Records that a stage begins, and that it ends: with its result, or without one where the block raises.

    A verdict against a challenger is a result: let the block end before the command does with an error.

    Args:
        stage: `train`, `export` or `gate`.
        model: that it makes or judges.
        tell: receives in one sentence where something cannot be written; the stage goes on all the same.
    """
    leave = _Leaving(stage, model, tell)
    began = time.time()
    leave("start", {"last_start_timestamp_seconds": began})
    result = StageResult()
    try:
        yield result
    except BaseException:
        leave("end", {"last_end_timestamp_seconds": time.time()})
        raise
    ended = time.time()
    # The success first: whoever reads between the two must not see an end without one.
    values = {
        "last_success_timestamp_seconds": ended,
        "duration_seconds": ended - began,
        "examples": result.examples,
        "version": result.version,
        "gate_passed": result.gate_passed,
    }
    known = {name: float(value) for name, value in values.items() if value is not None}
    leave("success", known, result.figures)
    leave("end", {"last_end_timestamp_seconds": ended})


class _Leaving:
    """Writes the metrics of one stage and model to where the environment says."""

    def __init__(self, stage: str, model: str, tell: Callable[[str], None]) -> None:
        self._labels = {"stage": stage, "model": model}
        self._tell = tell
        self._folder = os.environ.get("SIGNS_METRICS_DIR", "")
        self._gateway = os.environ.get("SIGNS_PUSHGATEWAY_URL", "")

    def __call__(self, part: str, values: Mapping[str, float], figures: Mapping[str, float] | None = None) -> None:
        """Replaces one part of what the stage left: `start`, `end` or `success`."""
        if self._folder:
            self._try("SIGNS_METRICS_DIR", self._folder, lambda: self._write(part, values, figures or {}))
        if self._gateway:
            self._try("SIGNS_PUSHGATEWAY_URL", self._gateway, lambda: self._push(values, figures or {}))

    def _write(self, part: str, values: Mapping[str, float], figures: Mapping[str, float]) -> None:
        folder = Path(self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = "-".join(("signs", *self._labels.values(), part))
        write_to_textfile(str(folder / f"{name}.prom"), _registry(values, figures, self._labels))

    def _push(self, values: Mapping[str, float], figures: Mapping[str, float]) -> None:
        # The Pushgateway adds the labels that it groups by; of a group it replaces the metrics that are pushed again.
        registry = _registry(values, figures, {})
        pushadd_to_gateway(self._gateway, JOB, registry, grouping_key=self._labels, timeout=PUSH_TIMEOUT_S)

    def _try(self, variable: str, where: str, leave: Callable[[], None]) -> None:
        try:
            leave()
        except (OSError, HTTPException, ValueError) as error:
            self._tell(f"the metrics of this stage cannot be left at {where} ({error}): check {variable}")


def _registry(
    values: Mapping[str, float], figures: Mapping[str, float], labels: Mapping[str, str]
) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, value in values.items():
        gauge = Gauge(PREFIX + name, ABOUT[name], list(labels), registry=registry)
        (gauge.labels(**labels) if labels else gauge).set(value)
    if figures:
        gauge = Gauge(f"{PREFIX}figure", ABOUT["figure"], [*labels, "name"], registry=registry)
        for name, value in figures.items():
            gauge.labels(**labels, name=name).set(value)
    return registry
