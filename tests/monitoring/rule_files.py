"""The rules of monitoring/prometheus, read as Prometheus reads them."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[2] / "monitoring"
RULE_FILES = sorted((MONITORING / "prometheus").glob("*.yaml"))
CASE_FILES = sorted((MONITORING / "prometheus" / "tests").glob("*.yaml"))


@dataclass(frozen=True)
class Alert:
    """An alert rule."""

    name: str
    expression: str
    labels: dict[str, str]
    annotations: dict[str, str]


@cache
def alerts() -> list[Alert]:
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"]) for rule in _rules() if "alert" in rule
    ]


@cache
def recorded() -> list[str]:
    """Returns the names of all recorded series."""
    return sorted({rule["record"] for rule in _rules() if "record" in rule})


def _rules() -> list[dict[str, Any]]:
    groups = (group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"])
    return [rule for group in groups for rule in group["rules"]]
