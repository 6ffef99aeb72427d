"""Tests of the Dockerfiles: what their text shows. `make images try-images` builds and uses the images."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.linters import ROOT, run_linter

DOCKERFILES = sorted(path.relative_to(ROOT) for path in ROOT.glob("[a-z]*/**/Dockerfile"))
STANDIN = Path("serving/standin/Dockerfile")  # a base, as NVIDIA's image is: it is never run itself
SHIPPED = [path for path in DOCKERFILES if path != STANDIN]
LABELS = ("title", "description", "licenses", "version", "revision", "source")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword, all that follows it, its stage (0 is before the first FROM) and its comment."""

    keyword: str
    value: str
    stage: int
    comment: str


def read(path: Path) -> list[Instruction]:
    """Returns the instructions of a Dockerfile; continued lines are joined by a space."""
    found: list[Instruction] = []
    comment, stage, pending = "", 0, ""
    for line in (ROOT / path).read_text().splitlines():
        if line.startswith("#"):
            comment += line[1:]
        elif line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1].strip() + " "
        elif line.strip() or pending:
            keyword, _, value = (pending + line.strip()).partition(" ")
            stage += keyword == "FROM"
            found.append(Instruction(keyword, value.strip(), stage, comment))
            comment, pending = "", ""
    return found


def final_stage(path: Path) -> list[Instruction]:
    instructions = read(path)
    return [each for each in instructions if each.stage == instructions[-1].stage]


def commands(path: Path) -> Iterator[str]:
    """Yields each command of each RUN."""
    for each in read(path):
        if each.keyword == "RUN":
            yield from re.split(r"\s*(?:&&|;)\s*", each.value)


def test_there_are_the_images_that_the_project_ships() -> None:
    assert {str(path.parent) for path in SHIPPED} >= {"airflow", "clients/gateway", "export", "serving", "training"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_base_is_a_build_argument_with_a_version(path: Path) -> None:
    instructions = read(path)
    arguments = dict(each.value.split("=", 1) for each in instructions if each.keyword == "ARG" and each.stage == 0)
    bases = [each.value.split(" AS ")[0] for each in instructions if each.keyword == "FROM"]

    assert bases == ["${BASE}"] * len(bases) and len(bases) > 1
    name, _, tag = arguments["BASE"].rpartition(":")
    assert "." in name.split("/")[0], "the registry is not named, so that it depends on the machine"
    assert re.match(r"\d", tag)


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_runs_as_a_fixed_user_without_rights(path: Path) -> None:
    users = [each.value for each in final_stage(path) if each.keyword == "USER"]

    assert users and users[-1] == "1000:1000", "the chart's pods run as 1000"


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_has_a_health_check_or_the_reason_why_not(path: Path) -> None:
    (check,) = [each for each in final_stage(path) if each.keyword == "HEALTHCHECK"]

    if check.value == "NONE":
        assert len(check.comment) > 30
    else:
        assert json.loads(check.value.partition("CMD ")[2]), "without a shell"


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_has_the_labels_of_oci(path: Path) -> None:
    text = " ".join(each.value for each in final_stage(path) if each.keyword == "LABEL")
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))

    assert set(labels) == set(LABELS)
    assert labels["title"].startswith("traffic-signs/") and labels["licenses"].startswith("Apache-2.0")
    for name in ("version", "revision", "source"):
        assert labels[name] == f"${{{name.upper()}}}"
    arguments = [each.value for each in final_stage(path) if each.keyword == "ARG"]
    assert arguments == ["VERSION=0", "REVISION", "SOURCE"], "what is not given stays empty"


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_every_package_is_checked_against_a_hash(path: Path) -> None:
    fetching = [each for each in commands(path) if re.search(r"\bpip3?\b.* (install|download) ", each)]

    assert fetching
    for command in fetching:
        lock = re.search(r"--no-deps --require-hashes --requirement (\S+\.lock)", command)
        assert lock or "--no-index --no-deps" in command, command
    # pip looks for nothing that a lock lacks, so the finished environment is asked.
    environments = re.findall(r"venv --without-pip (\S+)", " ".join(commands(path)))
    checks = [each for each in commands(path) if re.search(r"^pip3 .* check\b", each)]
    assert len(checks) == len(environments)
    assert all(
        f"pip3 --python {each}/bin/python check" in check for each, check in zip(environments, checks, strict=True)
    )
    wheels = [each for each in commands(path) if " wheel " in each]
    assert all("--no-build-isolation --no-deps" in each for each in wheels), "else it fetches its backend itself"


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_nothing_is_installed_or_built_in_the_result(path: Path) -> None:
    for each in final_stage(path):
        assert not re.search(r"\b(pip3?|apt-get|apt|curl|wget|gcc|make)\b", each.value), each.value
        assert each.keyword != "ADD"
        if each.keyword == "COPY":
            assert each.value.startswith("--from=build "), "the result holds what was installed, not the sources"


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_commands_are_run_without_a_shell(path: Path) -> None:
    for each in final_stage(path):
        if each.keyword in ("ENTRYPOINT", "CMD"):
            assert all(isinstance(part, str) for part in json.loads(each.value))


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_no_secret_is_a_build_argument_or_a_variable(path: Path) -> None:
    text = " ".join(each.value for each in read(path) if each.keyword in ("ARG", "ENV"))

    assert not re.search(r"(?i)(passw|secret|token|credential|\bkey)", text)


@pytest.mark.parametrize("path", DOCKERFILES, ids=str)
def test_what_is_copied_is_there_and_in_the_context(path: Path) -> None:
    admitted = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]

    for each in read(path):
        if each.keyword != "COPY" or each.value.startswith("--from"):
            continue
        for source in each.value.split()[:-1]:
            source = source.replace("${TORCH}", "cuda")
            assert source == "." or list(ROOT.glob(source)), f"there is no {source}"
            assert source == "." or any(fnmatch(source.split("/")[0], name) for name in admitted)


def test_context_is_the_packages_and_what_installs_them() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert lines[0] == "*"
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {f"!{path.split('/')[0]}" for path in build["only-include"]} <= set(lines)
    assert not {"!tests", "!.git", "!runs", "!model_repository", "!.venv"} & set(lines)


@pytest.mark.parametrize("name", ["training", "repository", "serving", "standin", "gateway", "airflow"])
def test_make_builds_each_image(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text()

    assert re.search(rf"^image-{name}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(("engine", "keeps"), [("docker", False), ("podman", True)])
def test_health_checks_are_kept_by_podman_too(engine: str, keeps: bool) -> None:
    """Its own format drops them; docker build knows no other, and no such option."""
    command = ["make", "--dry-run", "image-gateway", f"ENGINE={engine}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ("--format docker" in said) == keeps


def test_hadolint_finds_nothing() -> None:
    run_linter("hadolint", *map(str, DOCKERFILES))


def test_the_pinned_triton_is_one_and_may_be_on_a_network() -> None:
    """26.07 is tritonserver 2.71: SECURITY.md says why older ones stay on loopback."""
    texts = [(ROOT / name).read_text() for name in ("serving/Dockerfile", "compose.yaml")]
    tags = {tag for text in texts for tag in re.findall(r"nvcr\.io/nvidia/tritonserver:(\d\d\.\d\d)-py3", text)}
    assert len(tags) == 1 and min(tags) >= "26.07"
    assert f"| 2.73 | {min(tags)} |" in (ROOT / "SECURITY.md").read_text()
