"""The command line, and a whole comparison of two servers with the project's own packages."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clients.benchmark.peers import environments, preparation, run
from clients.benchmark.peers.plan import Plan
from clients.benchmark.peers.run import run_comparison
from clients.benchmark.peers.running import Endpoint, ask
from clients.benchmark.peers.servers import PEERS, Peer
from export.repository import Manifest
from traffic_sign_client.errors import ClientError

ROOT = Path(__file__).parents[4]


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "clients.benchmark.peers", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--servers", "apache"), "'apache': choose fastapi_onnxruntime"),
        (("--tasks", "train"), "'train': choose classify or recognize"),
        (("--tasks", ","), "choose classify or recognize"),
        (("--clients", "0"), "0: give at least 1"),
        (("--clients", "1.5"), "'1.5': give whole numbers"),
        (("--rates", "fast"), "'fast': give numbers"),
        (("--shares", "nan"), "nan: give at least 0.01"),
        (("--seconds", "0"), "Invalid value for '--seconds'"),
        (("--device", "tpu"), "'tpu': choose cpu or cuda"),
        (("--crops", "0"), "Invalid value for '--crops'"),
    ],
)
def test_wrong_usage_is_named(arguments: tuple[str, ...], message: str) -> None:
    from typer.testing import CliRunner

    from clients.benchmark.peers.cli import app

    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_a_missing_repository_is_one_line(tmp_path: Path) -> None:
    result = command("--repository", str(tmp_path / "none"), "--output", str(tmp_path / "out"))
    assert result.returncode == 1
    assert result.stderr.strip().endswith("none: give one with --repository")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_help_has_examples() -> None:
    result = command("--help")
    assert result.returncode == 0
    assert "python -m clients.benchmark.peers --rates 200,400,800 --json" in result.stdout


def plan(repository: Path, output: Path, *names: str) -> Plan:
    return Plan(
        names,
        repository=repository,
        clients=(1, 2),
        rates=(20.0,),
        seconds=0.5,
        rounds=1,
        first_settings=True,
        environments=output,
        home=output,
    )


def test_a_repository_without_models_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    said: list[str] = []
    with pytest.raises(ClientError, match="has no sign_classifier: publish one"):
        run_comparison(plan(tmp_path / "models", tmp_path / "out", "litserve"), tmp_path / "out", said.append)
    assert [line.split()[0] for line in said] == ["classify", "recognize"]


def installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the FastAPI peers find the project's packages in place of environments of their own, and LitServe none."""

    def prepare(peer: Peer, home: Path, gpu: bool, say: object) -> Path:
        if peer.name == "litserve":
            raise ClientError("no matching distribution")
        return home / peer.name / "bin"

    monkeypatch.setattr(preparation, "prepare", prepare)
    home.mkdir()
    for name in ("fastapi_onnxruntime", "fastapi_pytorch"):
        (home / name).symlink_to(sys.prefix)


def test_two_servers_are_compared_and_one_that_cannot_be_installed_is_named(
    repository: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "out", monkeypatch)
    names = ["fastapi_onnxruntime", "fastapi_pytorch", "litserve"]
    said: list[str] = []
    summary = run_comparison(plan(repository, tmp_path / "out", *names), tmp_path / "out", said.append)

    assert list(summary["skipped"]) == ["recognize"]
    task = summary["tasks"]["classify"]
    assert task["limit"]["throughput"] > 0
    for name in names[:2]:
        server = task["servers"][name]
        assert not server["problem"]
        assert [(each["clients"], each["rate"]) for each in server["medians"]] == [(1, 0), (2, 0), (0, 20)]
        assert server["checked"] > 0
        assert server["difference"] < 1e-3
    assert task["servers"]["litserve"]["problem"] == "it cannot be installed: no matching distribution"
    assert json.loads((tmp_path / "out" / "peers.json").read_text()) == summary
    assert any("LitServe is excluded" in line for line in said)


def test_ctrl_c_stops_the_server_that_runs(
    repository: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal arrives while a server is loaded; raised here, since pytest itself takes the real one."""
    installed(tmp_path / "out", monkeypatch)
    asked: list[Endpoint] = []

    def interrupt(endpoint: Endpoint, *arguments: object) -> None:
        asked.append(endpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        output = tmp_path / "out"
        run_comparison(plan(repository, output, "fastapi_onnxruntime"), output, lambda text: None)
    with pytest.raises(OSError):
        ask(asked[0].host, asked[0].port, b"")


def test_pip_says_why_an_environment_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without an index stands in for a network that is down."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ClientError, match="No matching distribution found"):
        environments.prepare(PEERS[0], tmp_path / "home", False, print)
    assert not (tmp_path / "home" / PEERS[0].name / environments.STAMP).exists()


def test_an_environment_is_kept_while_its_requirements_are_the_same(tmp_path: Path) -> None:
    folder = tmp_path / PEERS[0].name
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / environments.STAMP).write_text(PEERS[0].requirements(gpu=False))
    said: list[str] = []
    assert environments.prepare(PEERS[0], tmp_path, False, said.append) == folder / "bin"
    assert not said


def test_rates_are_shares_of_the_best_other() -> None:
    never_started: Any = None
    others = [
        preparation.ServerUnderTest(name, name, PEERS[0].exchange, [], never_started)
        for name in ("one", "two", "triton")
    ]
    for each, throughput in zip(others, (100.0, 200.0, 900.0), strict=True):
        each.tried.append({"throughput": throughput})
    rates = run.choose_rates((0.5, 0.8), others)
    assert rates == [100.0, 160.0]
