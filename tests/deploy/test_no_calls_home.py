"""In images, compose and chart every library and program that could call home is set not to."""

from pathlib import Path

import pytest
import yaml

from tests.deploy.test_dockerfiles import read
from tests.helm.helm_chart import find_helm, render
from traffic_signs.environment import SWITCHES

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize(
    ("image", "switches"),
    [
        ("training", set(SWITCHES)),
        ("serving", {"ORT_DISABLE_TELEMETRY"}),
        ("airflow", {"DO_NOT_TRACK"}),
    ],
)
def test_images(image: str, switches: set[str]) -> None:
    environment = " ".join(each.value for each in read(Path(image, "Dockerfile")) if each.keyword == "ENV")
    assert switches <= {part.partition("=")[0] for part in environment.split()}


def test_compose() -> None:
    assert SERVICES["triton"]["environment"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert SERVICES["mlflow"]["environment"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    grafana = SERVICES["grafana"]["environment"]
    for switch in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert grafana[f"GF_ANALYTICS_{switch}"] == "false"


def test_chart() -> None:
    models = {"versions": {"sign_classifier": 1}, "source": {"pvc": {"claimName": "models"}}}
    objects = render(find_helm("helm"), {"models": models, "gpu": {"enabled": False}})
    (triton,) = [each for each in objects if each["kind"] == "Deployment" and "triton" in each["metadata"]["name"]]
    containers = triton["spec"]["template"]["spec"]["containers"]
    (server,) = [each for each in containers if each["name"] == "tritonserver"]
    assert {"name": "ORT_DISABLE_TELEMETRY", "value": "1"} in server["env"]


def test_health_checks_go_through_no_proxy() -> None:
    """Docker may name a proxy to every container, which cannot reach what is inside of one."""
    checks = [
        each.value for path in ("serving", "clients/gateway", "airflow") for each in read(Path(path, "Dockerfile"))
    ]
    found = [each for each in checks if "urllib.request" in each]
    found += [" ".join(each["healthcheck"]["test"]) for each in SERVICES.values() if "healthcheck" in each]
    assert len(found) >= 5
    for each in found:
        assert "ProxyHandler({})" in each or "-Y off" in each
