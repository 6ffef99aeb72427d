"""Tests of compose.yaml: what can be told without starting it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.linters import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_our_images_have_the_projects_version_and_their_dockerfile(name: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    image = SERVICES[name]["image"]
    build = SERVICES[name].get("build")

    assert not image.endswith(":latest") and ":" in image
    if image.startswith("traffic-signs/"):
        assert image.endswith(f":{version}")
        builders = [each["build"] for each in SERVICES.values() if each["image"] == image and "build" in each]
        assert len(builders) == 1, "one service builds each image"
    if build:
        dockerfile = ROOT / build["context"] / build["dockerfile"]
        assert f'image.title="{image.partition(":")[0]}"' in dockerfile.read_text()


def test_default_base_of_triton_is_that_of_its_dockerfile() -> None:
    default = re.search(r":-(.*)}", SERVICES["triton"]["build"]["args"]["BASE"])

    assert default and f"ARG BASE={default[1]}\n" in (ROOT / "serving" / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_no_rights_that_they_do_not_need(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} & set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), "nobody outside is let in"


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


def test_no_secret_stands_in_it() -> None:
    assert not re.search(r"(?i)(password|secret|token)\s*[:=]\s*[^$\s{]", (ROOT / "compose.yaml").read_text())
