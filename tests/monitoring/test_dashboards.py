"""The dashboards are what their YAML files describe, and everything in them has a name, a unit and an explanation."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboards.__main__ import FOLDER, SOURCES, contents
from monitoring.dashboards.panels import graph
from tests.monitoring.dashboard_files import DASHBOARDS, Dashboard
from tests.monitoring.rule_files import MONITORING, alerts, recorded
from traffic_signs.generated_files import outdated

RECORDED = re.compile(r"\b\w+:\w+:\w+\b")
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)


def test_the_files_are_made_from_their_sources() -> None:
    assert outdated(FOLDER, contents()) == [], "run make dashboards"


def test_a_query_too_many_is_refused_and_not_left_out() -> None:
    queries = {str(number): "up" for number in range(26)}
    assert len(graph("Targets", "Up.", "short", queries).build().targets or []) == 26
    with pytest.raises(ValueError, match="longer"):
        graph("Targets", "Up.", "short", queries | {"26": "up"})


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.yaml")), ids=lambda source: source.stem)
def test_no_title_and_no_legend_replaces_another(source: Path) -> None:
    nodes = [yaml.compose(source.read_text())]
    for node in nodes:
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            assert len(set(keys)) == len(keys), keys
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def test_there_is_a_dashboard_for_each_question() -> None:
    assert {dashboard.name for dashboard in DASHBOARDS} == {"service", "quality", "pipeline", "capacity"}
    assert len({dashboard.content["uid"] for dashboard in DASHBOARDS}) == 4
    assert {path.stem for path in FOLDER.glob("*")} == {dashboard.name for dashboard in DASHBOARDS}


@each_dashboard
def test_every_panel_has_a_title_an_explanation_a_unit_and_legends(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["datasource"]["uid"] == "$datasource"
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
    for query in dashboard.queries:
        assert query.unit, query
        assert query.legend, query


@each_dashboard
def test_panels_fill_the_grid_and_do_not_overlap(dashboard: Dashboard) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard.content["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[(x, y)]}"
                taken[(x, y)] = panel["title"]
    rows = 1 + max(y for _, y in taken)
    assert len(taken) == 24 * rows and max(x for x, _ in taken) == 23
    numbers = [panel["id"] for panel in dashboard.content["panels"]]
    assert len(set(numbers)) == len(numbers)


@each_dashboard
def test_variables_are_used_and_those_that_are_used_exist(dashboard: Dashboard) -> None:
    asked = [query.expression for query in dashboard.queries] + list(dashboard.variables.values())
    used = {name for expression in asked for name in re.findall(r"\$(\w+)", expression)}
    assert used - {"__rate_interval"} == dashboard.variables.keys()


def test_what_is_asked_of_the_rules_is_recorded_and_what_is_recorded_is_used() -> None:
    asked = [query.expression for dashboard in DASHBOARDS for query in dashboard.queries]
    asked += [alert.expression for alert in alerts()]
    used = {name for expression in asked for name in RECORDED.findall(expression)}
    assert used <= set(recorded())
    rules = "".join(path.read_text() for path in (MONITORING / "prometheus").glob("*.yaml"))
    by_rules = {name for name in recorded() if len(re.findall(rf"\b{name}\b", rules)) > 1}
    assert set(recorded()) == used | by_rules
