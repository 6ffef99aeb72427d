"""What the demo's output says to run next."""

from pathlib import Path

import pytest

from clients.command.demo.table import mlflow_command

ROOT = Path(__file__).parents[3]


def test_mlflow_shows_the_runs_from_wherever_the_demo_ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert mlflow_command(Path("runs")) == "make mlflow"
    assert mlflow_command(tmp_path / "my runs") == f"make mlflow RUNS='{tmp_path}/my runs'"
    monkeypatch.chdir(tmp_path)
    assert mlflow_command(Path("runs")).split(maxsplit=1)[0] == "make"
    assert mlflow_command(Path("runs")).endswith(f" mlflow RUNS={tmp_path}/runs")
    assert " -C " in mlflow_command(Path("runs"))
