"""A real Alertmanager takes the configuration, sends each alert where it belongs and holds back what is explained."""

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from tests.monitoring.programs import free_port, get_json, running, tool, wait_until
from tests.monitoring.receiver import Message, Receiver, receiving
from tests.monitoring.rule_files import MONITORING, Alert, alerts

CONFIG = MONITORING / "alertmanager" / "alertmanager.yml"
Labels = dict[str, str]


@dataclass(frozen=True)
class Running:
    """An Alertmanager and its receiver."""

    address: str
    receiver: Receiver

    def post(self, *alerts: Labels, over: bool = False) -> None:
        """Sends alerts as Prometheus would, with these labels besides those of the rule."""
        content: list[dict[str, object]] = [
            {"labels": labelled(each), "annotations": rule(each["alertname"]).annotations} for each in alerts
        ]
        if over:
            content = [{**each, "endsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())} for each in content]
        request = urllib.request.Request(
            f"{self.address}/api/v2/alerts", json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60):
            pass

    def held_back(self, *alerts: Labels) -> set[str]:
        """Posts alerts, returns the names of those that are inhibited, and takes all of them back."""
        self.post(*alerts)
        seen: list[dict[str, bool]] = []

        def is_settled() -> bool:
            """Returns whether all alerts are processed and unchanged for half a second; it works in parallel."""
            found = get_json(f"{self.address}/api/v2/alerts")
            states = {each["labels"]["alertname"]: each["status"] for each in found}
            seen.append({name: bool(status["inhibitedBy"]) for name, status in states.items()})
            return states.keys() == {each["alertname"] for each in alerts} and seen[-5:] == seen[-1:] * 5

        wait_until(is_settled, "Alertmanager has processed all alerts")
        self.post(*alerts, over=True)
        wait_until(lambda: not get_json(f"{self.address}/api/v2/alerts"), "all alerts are over")
        return {name for name, inhibited in seen[-1].items() if inhibited}


def rule(name: str) -> Alert:
    return next(alert for alert in alerts() if alert.name == name)


def labelled(labels: Labels) -> Labels:
    """Adds the labels that the rule gives its alert."""
    return {**rule(labels["alertname"]).labels, **labels}


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("alertmanager")
    with receiving() as receiver:
        config = receiver.configure(folder / "config")
        config.write_text(re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", config.read_text()))
        address = f"127.0.0.1:{free_port()}"
        arguments = [
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
        with running("alertmanager", arguments, f"http://{address}/-/ready", folder / "log"):
            yield Running(f"http://{address}", receiver)


def amtool(*arguments: str) -> str:
    command = [tool("amtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_takes_the_configuration_and_its_templates() -> None:
    said = amtool("check-config", str(CONFIG))
    assert "1 templates" in said and "2 receivers" in said


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_what_wakes_people_up_goes_to_the_pages_and_the_rest_to_the_tickets(alert: Alert) -> None:
    labels = [f"{name}={value}" for name, value in {"alertname": alert.name, **alert.labels}.items()]
    (receiver,) = amtool("config", "routes", "test", f"--config.file={CONFIG}", *labels).split()
    assert receiver == {"page": "pages", "ticket": "tickets"}[alert.labels["severity"]]


def test_no_secret_is_in_the_configuration() -> None:
    for receiver in yaml.safe_load(CONFIG.read_text())["receivers"]:
        for config in receiver["slack_configs"]:
            assert config["api_url_file"].startswith("/etc/alertmanager/secrets/") and "api_url" not in config


ONE_TRITON_DOWN = {"alertname": "SignsTargetDown", "job": "triton", "instance": "a"}
GATEWAY_DOWN = {"alertname": "SignsTargetDown", "job": "gateway", "instance": "g"}
NOT_LOADED = {"alertname": "SignsModelNotLoaded", "model": "sign_classifier"}
ERRORS = {"alertname": "SignsModelErrors", "model": "sign_recognizer", "version": "1"}
QUEUE = {"alertname": "SignsQueueGrowing", "model": "sign_recognizer", "version": "1"}
DRIFT = {"alertname": "SignsDrift", "feature": "scene_brightness", "version": "1"}


def named(*names: str) -> list[Labels]:
    return [{"alertname": name} for name in names]


@pytest.mark.parametrize(
    ("given", "held_back"),
    [
        ([ERRORS, QUEUE, DRIFT, *named("SignsTritonDown", "SignsErrorBudgetBurn", "SignsPipelineFailed")],
         {"SignsModelErrors", "SignsQueueGrowing", "SignsDrift", "SignsErrorBudgetBurn"}),
        ([ONE_TRITON_DOWN, *named("SignsTritonDown")], {"SignsTargetDown"}),
        ([GATEWAY_DOWN, *named("SignsTritonDown")], set()),
        ([ONE_TRITON_DOWN, ERRORS, QUEUE, DRIFT], set()),
        ([NOT_LOADED, ERRORS, QUEUE, *named("SignsErrorBudgetBurn", "SignsErrorBudgetLeak")],
         {"SignsModelErrors", "SignsQueueGrowing", "SignsErrorBudgetBurn", "SignsErrorBudgetLeak"}),
        ([NOT_LOADED, {"alertname": "SignsChampionNotServed", "model": "sign_classifier", "version": "2"}],
         {"SignsChampionNotServed"}),
        ([NOT_LOADED, {"alertname": "SignsChampionNotServed", "model": "sign_detector", "version": "2"}], set()),
        ([ERRORS, *named("SignsErrorBudgetBurn")], {"SignsErrorBudgetBurn"}),
        ([QUEUE, *named("SignsGatewayRefusing", "SignsLatencyBudgetBurn", "SignsErrorBudgetBurn")],
         {"SignsQueueGrowing", "SignsLatencyBudgetBurn"}),
        ([QUEUE, *named("SignsLatencyBudgetBurn")], {"SignsLatencyBudgetBurn"}),
        (named("SignsErrorBudgetBurn", "SignsErrorBudgetLeak", "SignsLatencyBudgetBurn", "SignsLatencyBudgetLeak"),
         {"SignsErrorBudgetLeak", "SignsLatencyBudgetLeak"}),
        ([{"alertname": "SignsExporterDown", "job": "drift"}, *named("SignsDriftStale")], {"SignsDriftStale"}),
        ([{"alertname": "SignsExporterDown", "job": "repository"}, *named("SignsDriftStale")], set()),
        ([DRIFT, *named("SignsConfidenceCollapse", "SignsFindsNothing", "SignsImagesUnreadable")], set()),
    ],
)  # fmt: skip
def test_what_another_alert_explains_is_held_back(
    alertmanager: Running, given: list[Labels], held_back: set[str]
) -> None:
    assert alertmanager.held_back(*given) == held_back


def test_every_alert_of_an_inhibition_exists() -> None:
    names = {alert.name for alert in alerts()}
    written = CONFIG.read_text().partition("inhibit_rules:")[2]
    for name in [word.strip('",[]') for line in written.splitlines() for word in line.replace("|", '"').split('"')]:
        if name.startswith("Signs") and "." not in name:
            assert name in names


def test_a_message_says_what_is_wrong_and_what_to_do_and_when_it_is_over(alertmanager: Running) -> None:
    alert = {**NOT_LOADED, "model": "sign_night"}
    before = len(alertmanager.receiver.messages)

    def arrived(title: str) -> Message | None:
        found = [each for each in alertmanager.receiver.messages[before:] if each.title == title]
        return found[-1] if found else None

    alertmanager.post(alert)
    wait_until(lambda: arrived("SignsModelNotLoaded") is not None, "the message arrives")
    message = arrived("SignsModelNotLoaded")
    assert message is not None
    annotations = rule("SignsModelNotLoaded").annotations
    assert (message.receiver, message.colour) == ("pages", "danger")
    assert message.text.splitlines() == [
        annotations["summary"],
        annotations["description"],
        f"what to do: {annotations['runbook_url']}",
    ]
    alertmanager.post(alert, over=True)
    wait_until(lambda: arrived("over: SignsModelNotLoaded") is not None, "the message that it is over arrives")
    over = arrived("over: SignsModelNotLoaded")
    assert over is not None
    assert over.colour == "good"
    assert over.text.strip() == f"over: {annotations['summary']}"
