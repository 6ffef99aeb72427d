"""Rules and alerts do what they say: promtool's cases pass, and no alert is without a case, a summary or a runbook."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from tests.monitoring.programs import tool
from tests.monitoring.rule_files import CASE_FILES, MONITORING, RULE_FILES, Alert, alerts

RUNBOOK = MONITORING / "runbook.md"


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_takes_the_configuration_with_every_rule() -> None:
    config = MONITORING / "prometheus" / "prometheus.yml"
    checked = run(tool("promtool"), "check", "config", "--lint=all", "--lint-fatal", config)
    for path in RULE_FILES:
        assert path.name in checked


@pytest.mark.parametrize("path", CASE_FILES, ids=lambda path: path.name)
def test_the_cases_of_promtool_pass(path: Path) -> None:
    run(tool("promtool"), "test", "rules", path)


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    firing: dict[str, list[bool]] = defaultdict(list)
    for path in CASE_FILES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for expected in case.get("alert_rule_test", []):
                firing[expected["alertname"]].append(bool(expected["exp_alerts"]))
    assert firing.keys() == {alert.name for alert in alerts()}
    one_sided = [name for name, cases in firing.items() if set(cases) != {True, False}]
    assert not one_sided


def test_an_alert_name_is_there_once() -> None:
    names = [alert.name for alert in alerts()]
    assert len(names) == len(set(names)) > 15


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_says_what_it_is_how_urgent_and_what_to_do(alert: Alert) -> None:
    assert alert.labels["severity"] in ("page", "ticket")
    assert alert.labels["area"] in ("serving", "gateway", "quality", "pipeline", "monitoring")
    assert alert.annotations["summary"] and alert.annotations["description"].endswith(".")
    assert alert.annotations["runbook_url"] == f"monitoring/runbook.md#{alert.name.lower()}"
    section = re.search(rf"^## {alert.name}\n(.*?)(?=^##)", RUNBOOK.read_text() + "\n##", re.MULTILINE | re.DOTALL)
    assert section is not None, "no runbook"
    for part in ("**Means**", "**Look**", "**Do**"):
        assert part in section[1], f"the runbook has no {part}"
