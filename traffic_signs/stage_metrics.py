"""Prometheus metrics of pipeline stages, which end before Prometheus could scrape them.

Metrics are written only if one of two variables is set. `SIGNS_METRICS_DIR` names a folder that node_exporter's
textfile collector reads; `SIGNS_PUSHGATEWAY_URL` is the address of a Pushgateway, for stages that run in containers.
A run replaces only the metrics of the same stage and model, and a failed run keeps the figures of the last successful
one. monitoring/metrics.md explains each metric.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway, write_to_textfile

FOLDER, GATEWAY = "SIGNS_METRICS_DIR", "SIGNS_PUSHGATEWAY_URL"
PREFIX = "signs_pipeline_"
JOB = "signs_pipeline"
PUSH_TIMEOUT_S = 5.0
ABOUT = {
    "last_start_timestamp_seconds": "When the stage last began.",
    "last_end_timestamp_seconds": "When the stage last ended, successfully or not.",
    "last_success_timestamp_seconds": "When the stage last ended successfully.",
    "duration_seconds": "Duration of the last successful run.",
    "examples": "Training examples of the last successful run.",
    "version": "Number of the version that the stage last published or evaluated.",
    "gate_passed": "1 if the gate accepted that version, 0 if it refused it.",
    "figure": "Figures of the last successful run, by name.",
}


@dataclass
class StageResult:
    """The result of a stage; the stage fills in what applies to it."""

    examples: int | None = None  # that it trained on
    version: int | None = None  # that it published or evaluated
    gate_passed: bool | None = None
    figures: dict[str, float] = field(default_factory=dict)  # others by name, such as accuracies


@contextmanager
def recorded_stage(stage: str, model: str, notify: Callable[[str], None]) -> Iterator[StageResult]:
    """Records the start and the end of a stage; a block that ends without an error is a success.

    A gate that refuses a challenger has succeeded: end the block first, then exit with an error.

    Args:
        stage: `train`, `export` or `gate`.
        model: name of the model that the stage produces or evaluates.
        notify: receives a sentence if metrics cannot be written; the stage continues.
    """
    labels = {"stage": stage, "model": model}
    began = time.time()
    _write("start", labels, {"last_start_timestamp_seconds": began}, {}, notify)
    result = StageResult()
    try:
        yield result
    except BaseException:
        _write("end", labels, {"last_end_timestamp_seconds": time.time()}, {}, notify)
        raise
    ended = time.time()
    # Success before end: a scrape between the two must not see a failed run.
    values = {
        "last_success_timestamp_seconds": ended,
        "duration_seconds": ended - began,
        "examples": result.examples,
        "version": result.version,
        "gate_passed": result.gate_passed,
    }
    known = {name: float(value) for name, value in values.items() if value is not None}
    _write("success", labels, known, result.figures, notify)
    _write("end", labels, {"last_end_timestamp_seconds": ended}, {}, notify)


def _write(
    part: str,
    labels: dict[str, str],
    values: Mapping[str, float],
    figures: Mapping[str, float],
    notify: Callable[[str], None],
) -> None:
    """Replaces one part of a stage's metrics, `start`, `end` or `success`, in the places that the environment names."""
    registry = CollectorRegistry()
    for name, value in values.items():
        Gauge(PREFIX + name, ABOUT[name], labels, registry=registry).labels(**labels).set(value)
    if figures:
        gauge = Gauge(f"{PREFIX}figure", ABOUT["figure"], [*labels, "name"], registry=registry)
        for name, value in figures.items():
            gauge.labels(**labels, name=name).set(value)
    for variable in (FOLDER, GATEWAY):
        place = os.environ.get(variable)
        try:
            if place and variable == FOLDER:
                Path(place).mkdir(parents=True, exist_ok=True)
                write_to_textfile(f"{place}/{'-'.join(('signs', *labels.values(), part))}.prom", registry)
            elif place:
                # It replaces only those metrics of a group that are pushed again.
                pushadd_to_gateway(place, JOB, registry, grouping_key=labels, timeout=PUSH_TIMEOUT_S)
        except (OSError, HTTPException, ValueError) as error:
            notify(f"cannot write the metrics of this stage to {place} ({error}): check {variable}")
