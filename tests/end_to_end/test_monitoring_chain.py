"""The whole chain, from a fault to the message that people get, and every query of the dashboards, on real parts.

The tests share one stack and run in this order. Each breaks something, mends it as the runbook in monitoring/runbook.md
says, and waits until all is quiet again; the last one kills Triton.
"""

import contextlib
import math
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from clients.command.main import main
from serving.install import Installation
from tests.end_to_end.monitoring_stack import Stack, running_stack
from tests.monitoring.dashboard_files import DASHBOARDS, Dashboard
from tests.monitoring.programs import get_json, tool, wait_until
from tests.monitoring.rule_files import alerts, recorded
from traffic_signs.stage_metrics import recorded_stage

pytestmark = [pytest.mark.end_to_end, pytest.mark.long]

STRAGGLERS_S = 4.0  # in which a message that should not come would have come


@pytest.fixture(scope="module")
def stack(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    for name in ("prometheus", "alertmanager", "pushgateway"):
        tool(name)
    with running_stack(installation, tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def fed_stack(stack: Stack) -> Stack:
    """The stack after each stage of the pipeline has left a result."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGNS_PUSHGATEWAY_URL", stack.pushgateway)
        with recorded_stage("train", "sign_classifier", pytest.fail) as result:
            result.examples, result.figures = 39209, {"gtsrb_test_accuracy": 0.99}
        with recorded_stage("export", "sign_classifier", pytest.fail) as result:
            result.version = 1
        with recorded_stage("gate", "sign_classifier", pytest.fail) as result:
            result.version, result.gate_passed = 1, True
    return stack


def has_data(stack: Stack, expression: str) -> bool:
    return any(math.isfinite(float(series["value"][1])) for series in stack.query(expression))


def wait_for_data(stack: Stack, expressions: set[str]) -> None:
    """Waits until every expression has had a number."""
    empty = set(expressions)

    def are_all_full() -> bool:
        empty.difference_update({expression for expression in empty if has_data(stack, expression)})
        return not empty

    with contextlib.suppress(pytest.fail.Exception):
        wait_until(are_all_full, "every query has data")
    assert not empty


def values_of(stack: Stack, dashboard: Dashboard) -> dict[str, list[str]]:
    """Returns what people can choose from in each variable of a dashboard."""
    found: dict[str, list[str]] = {}
    for name, query in dashboard.variables.items():
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked is not None
        metric = filled_in(asked[1], {other: "|".join(values) for other, values in found.items()})
        found[name] = get_json(f"{stack.prometheus}/api/v1/label/{asked[2]}/values", **{"match[]": metric})["data"]
    return found


def filled_in(expression: str, chosen: dict[str, str]) -> str:
    """Puts in what Grafana would for its variables; an interval of 5 s is 5 scrapes here."""
    for name, value in {"__rate_interval": "5s", **chosen}.items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression
    return expression


def test_every_rule_is_evaluated_without_an_error_and_every_recorded_series_has_data(fed_stack: Stack) -> None:
    wait_for_data(fed_stack, set(recorded()))
    groups = get_json(f"{fed_stack.prometheus}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {*recorded(), *(alert.name for alert in alerts())}
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"} == {}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_every_query_of_a_dashboard_returns_data(fed_stack: Stack, dashboard: Dashboard) -> None:
    values = values_of(fed_stack, dashboard)
    assert all(values.values())
    everything = {name: "|".join(each) for name, each in values.items()}
    wait_for_data(fed_stack, {filled_in(query.expression, everything) for query in dashboard.queries})
    for name, choices in values.items():
        asking = [query.expression for query in dashboard.queries if f"${name}" in query.expression]
        for choice in choices:
            narrowed = {filled_in(expression, {**everything, name: choice}) for expression in asking}
            assert any(has_data(fed_stack, expression) for expression in narrowed), f"{name}={choice} shows nothing"
    for expression in dashboard.marks:
        fed_stack.query(expression)  # fails where Prometheus does not take it
    draw = os.environ.get("SIGNS_DRAW_DASHBOARDS")
    if draw:
        from tests.end_to_end.drawn_dashboards import draw_dashboard

        draw_dashboard(
            fed_stack.prometheus, dashboard, lambda expression: filled_in(expression, everything), Path(draw)
        )


def check_notified(stack: Stack, fault: AbstractContextManager[Any], *expected: tuple[str, str]) -> None:
    """Checks that people get exactly the expected messages about a fault, and that it is over once mended."""
    stack.wait_until_quiet()
    count = len(stack.receiver.messages)

    def notified() -> set[tuple[str, str]]:
        return stack.receiver.firing(count)

    with fault:
        with contextlib.suppress(pytest.fail.Exception):
            wait_until(lambda: notified() >= set(expected), "people are notified")
        time.sleep(STRAGGLERS_S)
    stack.wait_until_quiet()
    assert notified() == set(expected)


@contextmanager
def unloaded(stack: Stack, model: str) -> Iterator[None]:
    """Stops a model while the block runs."""
    control(stack, model, "unload")
    try:
        yield
    finally:
        control(stack, model, "load")


def control(stack: Stack, model: str, what: str) -> None:
    address = f"http://{stack.server.http_url}/v2/repository/models/{model}/{what}"
    with urllib.request.urlopen(urllib.request.Request(address, data=b"{}", method="POST"), timeout=120):
        pass


@contextmanager
def troubles(stack: Stack, folder: Path) -> Iterator[None]:
    """Breaks what has nothing to do with each other while the block runs.

    The camera, so that pictures are a mosaic and files damaged; a gateway has more to do than it takes; the repository
    cannot be read; a training cannot begin.
    """
    away = stack.repository.with_name("away")
    with (
        pytest.MonkeyPatch.context() as patch,
        stack.traffic.seen_by("broken"),
        stack.traffic.sending(stack.gateways[1], senders=8, pause_s=0.1),
    ):
        patch.setenv("SIGNS_PUSHGATEWAY_URL", stack.pushgateway)
        patch.setattr(sys, "argv", ["signs", "train", "classifier", "--data", f"gtsdb={folder}/nowhere"])
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit):
            main()
        signal.signal(signal.SIGTERM, handler)
        stack.repository.rename(away)
        try:
            yield
        finally:
            away.rename(stack.repository)
            with recorded_stage("train", "sign_classifier", pytest.fail):
                pass


def test_all_is_quiet_while_nothing_is_wrong(fed_stack: Stack) -> None:
    fed_stack.wait_until_quiet()  # Prometheus began before its first look at Triton
    count = len(fed_stack.receiver.messages)
    time.sleep(STRAGGLERS_S)
    assert (fed_stack.alerts(), fed_stack.receiver.firing(count)) == (set(), set())


def test_a_model_that_is_stopped_is_reported_and_not_the_failures_that_follow(fed_stack: Stack) -> None:
    check_notified(fed_stack, unloaded(fed_stack, "sign_classifier"), ("pages", "SignsModelNotLoaded"))


@contextmanager
def rush_at_dusk(stack: Stack) -> Iterator[None]:
    """Sends more than Triton can do at once, and all of it darker, while the block runs."""
    with stack.traffic.seen_by("dusk"), stack.traffic.sending(stack.gateways[0], senders=24, pause_s=0):
        yield


def test_more_than_the_server_can_do_is_reported_as_a_queue_and_darkness_as_drift(fed_stack: Stack) -> None:
    check_notified(fed_stack, rush_at_dusk(fed_stack), ("pages", "SignsQueueGrowing"), ("tickets", "SignsDrift"))


def test_troubles_at_once_are_a_message_each(fed_stack: Stack, tmp_path: Path) -> None:
    check_notified(
        fed_stack,
        troubles(fed_stack, tmp_path),
        ("pages", "SignsConfidenceCollapse"),
        ("tickets", "SignsDrift"),
        ("pages", "SignsGatewayRefusing"),
        ("tickets", "SignsImagesUnreadable"),
        ("tickets", "SignsExporterDown"),
        ("tickets", "SignsPipelineFailed"),
    )


def test_a_triton_that_is_killed_is_reported_once_and_inhibits_the_rest(fed_stack: Stack) -> None:
    """It is not started again, so this comes last."""
    fed_stack.wait_until_quiet()
    before = len(fed_stack.receiver.messages)
    fed_stack.server.process.kill()
    message = ("pages", "SignsTritonDown")
    wait_until(lambda: message in fed_stack.receiver.firing(before), "people are notified")
    wait_until(lambda: fed_stack.alerts() >= {"SignsTargetDown", "SignsErrorBudgetBurn"}, "the rest follows")
    time.sleep(STRAGGLERS_S)
    assert fed_stack.receiver.firing(before) == {message}
    held_back = get_json(f"{fed_stack.alertmanager}/api/v2/alerts", active="false")
    assert {alert["labels"]["alertname"] for alert in held_back} >= {"SignsTargetDown", "SignsErrorBudgetBurn"}
