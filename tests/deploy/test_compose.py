"""Tests of compose.yaml: what can be checked without starting it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from retraining.settings import load_settings
from tests.deploy.linters import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_our_images_have_the_projects_version_and_their_dockerfile(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    image = SERVICES[name]["image"]
    build = SERVICES[name].get("build")

    assert re.search(r":v?\d+\.\d+\.\d+$", image), "a version, so that it is the same tomorrow"
    if image.startswith("traffic-signs/"):
        assert image.endswith(f":{version}")
        builders = [each["build"] for each in SERVICES.values() if each["image"] == image and "build" in each]
        assert len(builders) == 1, "one service builds each image"
    if build:
        dockerfile = ROOT / build["context"] / build["dockerfile"]
        # Airflow's image has a second name on the training image.
        assert f'image.title="{image.partition(":")[0].removesuffix("-local")}"' in dockerfile.read_text()


def test_default_base_of_triton_is_that_of_its_dockerfile() -> None:
    default = re.search(r":-(.*)}", SERVICES["triton"]["build"]["args"]["BASE"])

    assert default and f"ARG BASE={default[1]}\n" in (ROOT / "serving" / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_no_rights_that_they_do_not_need(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "pid", "ipc", "devices", "cap_add"} & set(service)
    assert service.get("network_mode") == (None if name == "network" else "service:network")


def test_only_this_machine_is_let_in() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert list(ports) == ["network"]
    assert all(port.startswith("127.0.0.1:") for port in ports["network"])


@pytest.mark.parametrize("name", SERVICES)
def test_volumes_and_dependencies_are_declared(name: str) -> None:
    service = SERVICES[name]

    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source.startswith(("./", "${")) or source in COMPOSE["volumes"]
        assert "docker.sock" not in volume
    for other, how in service.get("depends_on", {}).items():
        assert how["condition"] in ("service_healthy", "service_completed_successfully")
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other] or "HEALTHCHECK --" in _dockerfile(other)


def _dockerfile(name: str) -> str:
    build = SERVICES[name]["build"]
    return Path(ROOT / build["context"] / build["dockerfile"]).read_text()


def test_what_prometheus_asks_is_running() -> None:
    """Each target on localhost is a service here."""
    content = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target for job in content["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    ]
    own = {"gateway": 8080, "triton": 8002, "repository": 9107, "drift": 9105}
    own |= {"alertmanager": 9093, "pushgateway": 9091}

    assert {int(target.removeprefix("localhost:")) for target in targets} == set(own.values())
    assert set(own) <= set(SERVICES)


def test_airflow_works_where_the_others_look() -> None:
    airflow = SERVICES["airflow"]
    environment = {name: value for name, value in airflow["environment"].items() if name.startswith("SIGNS_")}
    settings = load_settings(environment)
    mounts = {volume.removesuffix(":ro").rpartition(":")[2] for volume in airflow["volumes"]}

    folders = (settings.runs, settings.repository, settings.feedback, "data")
    assert {f"{settings.home}/{folder}" for folder in folders} == mounts
    assert set(airflow["volumes"]) == set(SERVICES["train"]["volumes"])
    assert "./model_repository:/models:ro" in SERVICES["triton"]["volumes"], "what is promoted is served"
    assert "--model-control-mode=explicit" in SERVICES["triton"]["command"][-1]
    port = airflow["environment"]["AIRFLOW__API__PORT"]
    assert f"127.0.0.1:{port}:{port}" in SERVICES["network"]["ports"]
    assert f":{port}/" in airflow["environment"]["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert f":{port}/" in airflow["healthcheck"]["test"][-1]


def test_what_the_gateway_stores_is_learned_from() -> None:
    gateway, airflow = SERVICES["gateway"], SERVICES["airflow"]
    (mounted,) = gateway["volumes"]
    volume, _, folder = mounted.partition(":")

    assert gateway["environment"]["SIGNS_GATEWAY_FEEDBACK"] == folder
    assert f"install -d -o 1000 -g 1000 {folder}\n" in _dockerfile("gateway"), "a new volume takes its owner from there"
    assert f"{volume}:/srv/signs/{airflow['environment']['SIGNS_FEEDBACK']}:ro" in airflow["volumes"]
    assert "127.0.0.1:8080:8080" in SERVICES["network"]["ports"]


def test_files_of_monitoring_that_are_mounted_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                source = volume.split(":")[0]
                assert (ROOT / source).is_dir() or source in ("./runs", "./data")


def test_no_secret_stands_in_it() -> None:
    assert not re.search(r"(?i)(password|secret|token)\s*[:=]\s*[^$\s{]", (ROOT / "compose.yaml").read_text())
