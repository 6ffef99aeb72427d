"""Paths as people give them: with a tilde that no shell expanded, and through links."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from traffic_signs.paths import expand_arguments, expand_variables, walk
from training.data.source import open_source


def test_a_tilde_is_expanded_where_a_path_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    given = ["~/a", "--data=~/b", "gtsdb=~/c", "--data=gtsdb=~/d", "a~b", "x=~y", "=~/"]
    home = "/home/anna"
    expected = [
        f"{home}/a",
        f"--data={home}/b",
        f"gtsdb={home}/c",
        f"--data=gtsdb={home}/d",
        "a~b",
        "x=~y",
        f"={home}/",
    ]
    assert expand_arguments(given) == expected


def test_the_command_line_expands_it(
    run_signs: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_signs("data", "check", "gtsdb=~/not-there") == 1
    assert str(tmp_path / "not-there") in capsys.readouterr().err


def test_variables_that_hold_a_path_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    monkeypatch.setenv("SIGNS_GATEWAY_FEEDBACK", "~/feedback")
    monkeypatch.setenv("SIGNS_KEY_PASSWORD", "~/secret")
    expand_variables()
    assert os.environ["SIGNS_GATEWAY_FEEDBACK"] == "/home/anna/feedback"
    assert os.environ["SIGNS_KEY_PASSWORD"] == "~/secret"


def test_linked_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "a.png").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "data" / "again").symlink_to(tmp_path / "real" / "deep")
    (tmp_path / "real" / "deep" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "nowhere").symlink_to(tmp_path / "gone")
    names = open_source(tmp_path / "data").names()
    assert names == ["again/a.png", "link/deep/a.png"]


def test_folders_that_are_taken_out_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "out" / "c").mkdir(parents=True)
    seen = []
    for folder, folders, _ in walk(tmp_path):
        seen.append(folder.name)
        folders[:] = [each for each in folders if each != "out"]
    assert seen == [tmp_path.name, "in", "b"]
