"""The gateway that the chart starts: its variables are read by the real command, and its pods end as it does."""

import inspect
import json
import re
from typing import Any, get_type_hints

import pytest
import typer
import yaml

from clients.command.gateway import gateway
from clients.command.main import app
from clients.gateway.settings import ENVIRONMENT, Settings
from tests.helm.helm_chart import CHART, Object, find_helm, merged, named, render
from tests.helm.value_cases import CASES, LEAST, THREE
from traffic_signs.settings import describe


def pod_of_gateway(values: dict[str, Any]) -> Object:
    spec: Object = named(render(find_helm("helm"), values), "Deployment", "-gateway")["spec"]["template"]["spec"]
    return spec


def variable(parameter: Any) -> str | None:
    """Returns the environment variable of a parameter of the command; of several the project's own, the first."""
    if names := getattr(parameter, "envvar", None):
        return str(names[0])
    return f"{ENVIRONMENT}_{parameter.name.upper()}" if getattr(parameter, "allow_from_autoenv", False) else None


def real_command() -> Any:
    commands: Any = typer.main.get_command(app)
    return commands.commands["gateway"]


def understood(spec: Object, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Returns what the real command takes the variables of a pod for, those that came from a default left out."""
    command = real_command()
    (container,) = spec["containers"]
    assert container["command"] == ["signs", "gateway"] and "args" not in container
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names))
    variables = {name for name in names if name.startswith("SIGNS_GATEWAY_")}
    assert variables <= {variable(parameter) for parameter in command.params}
    for each in container["env"]:
        if each["name"] in variables:
            patch.setenv(each["name"], each["value"])
    context = command.make_context("gateway", [])
    chosen = {parameter.name for parameter in command.params if variable(parameter) in variables}
    return {name: value for name, value in context.params.items() if name in chosen}


@pytest.mark.parametrize("versions", [{"sign_classifier": 1}, THREE], ids=len)
def test_it_waits_for_the_models_of_the_release_and_drains(
    versions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = merged(LEAST, {"models": {"versions": versions}, "gateway": {"drain": {"delaySeconds": 7}}})
    spec = pod_of_gateway(values)
    found = understood(spec, monkeypatch)

    assert {name: list(value) if name == "need" else value for name, value in found.items()} == {
        "url": "demo-traffic-signs-triton-headless.signs.svc:8001",
        "need": sorted(versions),
        "drain_delay": 7.0,
        "drain_timeout": 40.0,
        "upload_timeout": 30.0,
        "timeout": 10.0,
    }
    assert spec["terminationGracePeriodSeconds"] > found["drain_delay"] + found["drain_timeout"]
    assert "lifecycle" not in spec["containers"][0], "it would drain twice"


def test_settings_are_understood_and_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = understood(pod_of_gateway(CASES["pods"]), monkeypatch)

    assert {name: found[name] for name in ("url", "log_level", "max_upload", "tls")} == {
        "url": "other:8001",
        "log_level": "debug",
        "max_upload": 8,
        "tls": True,
    }
    assert list(found["need"]) == ["other"]


def test_where_pods_have_ipv6_alone_it_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert understood(pod_of_gateway(CASES["IPv6"]), monkeypatch)["host"] == "::"


def test_the_schema_has_the_options_of_the_command() -> None:
    """All but those that the chart gives itself, so that a misspelt one is refused instead of doing nothing."""
    variables = {variable(each) for each in real_command().params if each.name != "help" and variable(each)}
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = schema["properties"]["gateway"]["properties"]["settings"]["properties"]
    ours = {"TRITON_URL", "HOST", "PORT", "DRAIN_DELAY", "DRAIN_TIMEOUT"}
    assert {f"SIGNS_GATEWAY_{name}" for name in {*settings, *ours}} == variables


def test_the_schema_takes_what_the_command_takes() -> None:
    """Types and bounds are the same, so that a wrong value is refused by Helm and not by a pod that does not start."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = schema["properties"]["gateway"]["properties"]["settings"]["properties"]
    kinds = {int: "integer", float: "number", bool: "boolean"}
    seen = set()
    hints = get_type_hints(inspect.unwrap(gateway), include_extras=True) | get_type_hints(Settings, include_extras=True)
    for parameter, hint in hints.items():
        name, described = parameter.upper(), describe(hint)
        if described is not None and name in settings:
            schema_of = settings[name]
            schema_of = (
                schema["definitions"][schema_of["$ref"].rpartition("/")[2]] if "$ref" in schema_of else schema_of
            )
            assert schema_of["type"] == kinds.get(described.kind, "string"), name
            bounds = described.setting.min, described.setting.max
            assert (schema_of.get("minimum"), schema_of.get("maximum")) == bounds, name
            seen.add(name)
            if name == "LOG_LEVEL":
                assert tuple(schema_of["enum"]) == described.choices
    assert seen == set(settings)


def test_a_triton_elsewhere_and_a_collector_of_traces_can_be_reached() -> None:
    values = merged(CASES["pods"], {"gateway": {"settings": {"TRACES": "http://collector.observability:4318"}}})
    rules = named(render(find_helm("helm"), values), "NetworkPolicy", "-gateway")["spec"]["egress"]
    for port in (8001, 4318):
        assert {"ports": [{"port": port, "protocol": "TCP"}]} in rules


def test_keys_of_a_secret_and_a_claim_for_feedback_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (CHART / "docs" / "access.md").read_text()
    (example,) = re.findall(r"```yaml\n(gateway:\n.*?)```", page, re.DOTALL)
    spec = pod_of_gateway(merged(LEAST, yaml.safe_load(example)))
    found = understood(spec, monkeypatch)

    mounts = {each["mountPath"]: each["name"] for each in spec["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert volumes[mounts[str(found["keys"].parent)]]["secret"]["secretName"] == "gateway-keys"
    assert "persistentVolumeClaim" in volumes[mounts[str(found["feedback"])]]


def test_it_is_reached_on_the_port_that_it_listens_on() -> None:
    (container,) = pod_of_gateway(LEAST)["containers"]
    port = next(parameter for parameter in inspect.signature(gateway).parameters.values() if parameter.name == "port")

    assert [each["containerPort"] for each in container["ports"]] == [port.default]
    assert "SIGNS_GATEWAY_HOST=0.0.0.0" in (CHART.parents[1] / "clients" / "gateway" / "Dockerfile").read_text()
