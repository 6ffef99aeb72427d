"""Tests of .ci/kind. There is no cluster here: kind_tools.py stands in for it and for the programs that lead to it.

So these tests say that the script does all of its steps, gives the chart values that it takes, calls .ci/load.py as it
wants to be called, and fails where a step does; that the steps hold in a cluster, CI says.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.deploy.linters import ROOT
from tests.helm.helm_chart import find_helm

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
TOOLS = ("docker", "kind", "kubectl", "helm")
NEEDED = ("bash", "sed", "grep", "env", "python3", "seq", "paste", "dirname", "make", "mktemp", "rm")


def run_kind(
    folder: Path, *arguments: str, wrong: str = "", lacking: tuple[str, ...] = (), clusters: str = "other"
) -> tuple[int, str, list[list[str]]]:
    """Runs the script with the stand-ins on its PATH; returns exit code, what it printed, and the calls."""
    path = folder / "bin"
    path.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (path / name).symlink_to(found)
    (path / "sleep").symlink_to(shutil.which("true") or "")
    for name in set(TOOLS) - set(lacking):
        (path / name).write_text(f"#!{sys.executable} -SE\n" + (ROOT / "tests/deploy/kind_tools.py").read_text())
        (path / name).chmod(0o755)
    calls = folder / "calls"
    calls.touch()
    variables = {"PATH": str(path), "HOME": str(folder), "CALLS": str(calls), "WRONG": wrong, "CLUSTERS": clusters}
    variables |= {"KUBECONFIG": str(folder / "theirs"), "THEIRS": str(folder / "theirs"), "TMPDIR": str(folder)}
    variables["REAL_HELM"] = str(Path(find_helm("helm")).resolve()) if "helm" not in lacking else ""
    command = [str(path / "bash"), str(ROOT / ".ci" / "kind"), *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr, [json.loads(line) for line in calls.read_text().splitlines()]


def starts(calls: list[list[str]], *words: str) -> list[list[str]]:
    return [call for call in calls if call[: len(words)] == list(words)]


def test_all_steps_are_done(tmp_path: Path) -> None:
    code, said, calls = run_kind(tmp_path, "test")

    assert code == 0, said
    assert said.rstrip().endswith("kind: passed")
    assert len(starts(calls, "helm", "test", "signs", "--logs")) == 2, "once more after an upgrade"
    versions = ["+".join(each for each in call if "sign_classifier=" in each or "state=" in each) for call in
                starts(calls, "helm", "upgrade")]  # fmt: skip
    assert [each.replace("models.versions.sign_classifier=", "") for each in versions] == [
        "1",
        "2",
        "1+canary.versions.sign_classifier=2+canary.state=running",
        "1+canary.versions.sign_classifier=2+canary.state=promoted",
        "3",
    ]
    assert starts(calls, "helm", "rollback", "signs") and starts(calls, "helm", "uninstall", "signs")
    assert len([call for call in calls if call[1:2] == ["create"] and "/eviction" in call[3]]) == 2
    (loaded,) = starts(calls, "kind", "load", "docker-image")
    assert starts(calls, "kind", "create", "cluster")
    assert calls[-1] == ["kind", "delete", "cluster", "--name", "signs"], "a cluster of its own is not left behind"
    assert loaded[-3:] == [f"traffic-signs/{name}:{VERSION}" for name in ("repository", "serving", "gateway")]


def test_every_kind_of_client_asks(tmp_path: Path) -> None:
    """All that .ci/load.py has, the headless Service by its name, until each version has answered."""
    _, _, calls = run_kind(tmp_path, "test")
    loads = [call[call.index("-") + 1 :] for call in calls if "--triton-http" in call]
    assert [load[load.index("--want") + 1 :] for load in loads] == [
        ["1", "2"],
        ["1", "2"],
        ["2", "--kinds", "http-kept", "client-stream", "gateway"],  # while a server is killed
        ["2"],
    ]
    for load in loads:
        assert dict(zip(load[0:8:2], load[1:8:2], strict=True)) == {
            "--triton-http": "signs-triton:8000",
            "--triton-grpc": "signs-triton:8001",
            "--triton-grpc-all": "signs-triton-headless:8001",
            "--gateway": "signs-gateway:80",
        }


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("a request fails", "requests failed, or a version never answered"),
        ("the rollback changes nothing", 'rolled back, but served is {"name":"sign_classifier","versions":["2"]}'),
        ("a missing version is served", "version 3 is nowhere, and the upgrade says it is served"),
        ("a pod does not end", "pods that should have ended are still there"),
        ("pods cannot be listed", ""),
        ("a pod cannot be evicted", "pod/one could not be evicted"),
        ("no server is killed", "no server was killed, or it was not started anew"),
        ("an uninstall leaves a pod", "the uninstall left pod/signs-test-grpc"),
        ("helm test fails", ""),
    ],
)
def test_it_fails_where_a_step_does(wrong: str, message: str, tmp_path: Path) -> None:
    code, said, calls = run_kind(tmp_path, "test", wrong=wrong)

    assert code == 1, said
    assert message in said and "kind: passed" not in said
    assert starts(calls, "kubectl", "logs"), "what is there is printed"
    assert calls[-1][:3] == ["kind", "delete", "cluster"], "after that"
    stops = [call for call in calls if call[-2:] == ["touch", "/tmp/stop"]]
    loads = [call for call in calls if "--triton-http" in call]
    assert len(stops) == len(loads), "each load was stopped, and has printed what became of its requests"
    assert not list(tmp_path.glob("tmp.*")), "the kubeconfig is removed"


def test_a_cluster_that_was_there_is_left_there(tmp_path: Path) -> None:
    for wrong in ("", "a request fails", "kinds cannot be listed"):
        folder = tmp_path / (wrong or "right")
        folder.mkdir()
        code, said, calls = run_kind(folder, "test", wrong=wrong, clusters="other\nsigns")
        assert code == (1 if wrong else 0), said
        assert not starts(calls, "kind", "create") and not starts(calls, "kind", "delete")


def test_it_can_be_left_running(tmp_path: Path) -> None:
    code, said, calls = run_kind(tmp_path, "up")

    assert code == 0, said
    assert "port-forward service/signs-gateway 8080:80" in said
    assert not starts(calls, "helm", "uninstall") and not starts(calls, "kind", "delete")
    assert starts(calls, "kind", "create", "cluster", "--name", "signs")


def test_what_is_missing_is_named_at_once(tmp_path: Path) -> None:
    code, said, calls = run_kind(tmp_path, "up", lacking=("docker", "kind", "helm"))

    assert code == 2
    assert all(f"\n  {name}" in said for name in ("docker: https", "kind 0.23", "Helm 3.14"))
    assert "kubectl: https" not in said and calls == []


def test_an_engine_that_does_not_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    code, said, _ = run_kind(tmp_path, "down", lacking=("docker",))
    assert code == 2 and "docker: https" in said

    (tmp_path / "bin" / "docker").symlink_to(tmp_path / "docker")
    command = [str(tmp_path / "bin" / "bash"), str(ROOT / ".ci" / "kind"), "up"]
    done = subprocess.run(command, env={**os.environ, "PATH": str(tmp_path / "bin")}, capture_output=True, text=True)
    assert done.returncode == 2 and "its engine does not answer" in done.stderr


def test_another_word_shows_how_it_is_used(tmp_path: Path) -> None:
    code, said, _ = run_kind(tmp_path, "upp")

    assert code == 2 and ".ci/kind test" in said
