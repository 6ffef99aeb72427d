"""Tests of the GitHub workflows: what they may do, and that nothing they call can change under them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.linters import ROOT, run_linter

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# All that may be written, by workflow and job.
WRITES = {
    ("chart", "release"): {"packages", "id-token", "attestations"},
    ("dependencies", "propose"): {"contents", "pull-requests"},
    ("images", "publish"): {"packages", "id-token", "attestations"},
}

Job = tuple[Path, str, dict[str, Any]]


def load(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text())
    assert isinstance(content, dict)
    return content


def jobs() -> Iterator[Job]:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            yield path, name, job


JOBS = [pytest.param(path, job, id=f"{path.stem}-{name}") for path, name, job in jobs()]


def test_there_are_the_workflows_of_the_project() -> None:
    assert {path.stem for path in WORKFLOWS} == {"chart", "ci", "dependencies", "images", "nightly"}


def test_every_action_is_pinned_to_one_commit() -> None:
    pins: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for line in path.read_text().splitlines():
            if re.match(r"\s*(- )?uses:", line):
                found = re.fullmatch(r"\s*(?:- )?uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # v(\d+\.\d+\.\d+)", line)
                assert found, f"{path.name}: {line.strip()}"
                pins.setdefault(found[1], set()).add(f"{found[2]} {found[3]}")

    assert pins and all(len(commits) == 1 for commits in pins.values()), pins


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_is_allowed_but_by_a_job(path: Path) -> None:
    workflow = load(path)

    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        writes = {right for right, level in job["permissions"].items() if level == "write"}
        assert writes == WRITES.get((path.stem, name), set())
        assert set(job["permissions"].values()) <= {"read", "write"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_triggers_give_no_rights_to_strangers(path: Path) -> None:
    triggers = load(path)[True]  # YAML 1.1 reads `on` so

    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_is_superseded_is_cancelled(path: Path) -> None:
    concurrency = load(path)["concurrency"]

    # A release that has begun is not cut off.
    releases = path.stem in ("chart", "images")
    assert concurrency["cancel-in-progress"] is True or releases
    assert concurrency["group"].startswith(path.stem)


@pytest.mark.parametrize(("path", "job"), JOBS)
def test_jobs_end_and_run_on_a_known_machine(path: Path, job: dict[str, Any]) -> None:
    assert 0 < job["timeout-minutes"] <= 120
    assert job["runs-on"] == "ubuntu-24.04"


@pytest.mark.parametrize(("path", "job"), JOBS)
def test_no_token_is_left_on_the_disk_or_printed(path: Path, job: dict[str, Any]) -> None:
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), "an expression in a script is code: hand it over in env"
        assert "GH_TOKEN" not in step.get("env", {}) or "echo" not in step["run"]
    assert "secrets." not in str(job)


@pytest.mark.parametrize(("path", "job"), JOBS)
def test_what_may_write_runs_nothing_that_was_just_fetched(path: Path, job: dict[str, Any]) -> None:
    if "contents" in {right for right, level in job["permissions"].items() if level == "write"}:
        assert not re.search(r"\b(make|pip|python3?|npm|\.ci/)\b", str([step.get("run") for step in job["steps"]]))


@pytest.mark.parametrize(("path", "job"), JOBS)
def test_scripts_and_targets_that_are_called_are_there(path: Path, job: dict[str, Any]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    script = "\n".join(step.get("run", "") for step in job["steps"])

    for program in re.findall(r"^\.ci/[\w-]+", script, re.MULTILINE):
        assert os.access(ROOT / program, os.X_OK), program
    for targets in re.findall(r"^make ((?:[a-z-]+ ?)+)", script, re.MULTILINE):
        for target in targets.split():
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_nothing_is_signed_before_the_real_server_has_answered() -> None:
    """NVIDIA's image cannot be had where these tests run: that it is started is the workflow's work."""
    jobs = load(ROOT / ".github" / "workflows" / "images.yml")["jobs"]
    steps = [step.get("run", "") for step in jobs["serve"]["steps"]]

    assert steps[-2:] == ["make image-serving image-repository image-gateway", "make try-serving"]
    assert jobs["publish"]["needs"] == ["try", "serve"]
    assert [name for name, job in jobs.items() if "cosign sign" in str(job)] == ["publish"]


def test_upgrade_brings_all_locks_along() -> None:
    files = load(ROOT / ".github" / "workflows" / "dependencies.yml")["env"]["FILES"].split()
    locks = set(ROOT.glob("[a-z]*/**/[a-z]*.lock")) | set(ROOT.glob(".ci/[a-z]*.lock"))

    assert {path for name in files for path in ROOT.glob(name)} == locks | {ROOT / "constraints.txt"}


def test_dependabot_looks_after_what_make_upgrade_does_not() -> None:
    updates = load(ROOT / ".github" / "dependabot.yml")["updates"]

    assert [update["package-ecosystem"] for update in updates] == ["github-actions", "docker-compose"]


def test_actionlint_finds_nothing() -> None:
    run_linter("actionlint")


def test_zizmor_finds_nothing() -> None:
    run_linter("zizmor", "--offline", "--quiet", ".github")
