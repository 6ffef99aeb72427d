"""Tests of which commit a record names."""

import subprocess
from pathlib import Path

import pytest

from traffic_signs import commit
from traffic_signs.commit import git_commit


def test_git_commit_is_a_hash_or_empty() -> None:
    found = git_commit().removesuffix("-dirty")

    assert found == "" or (len(found) == 40 and set(found) <= set("0123456789abcdef"))


def test_another_owner_and_the_variables_of_a_hook_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = git_commit()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own way to test it
    assert git_commit() == expected
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert git_commit() == expected


def test_git_commit_is_empty_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert git_commit() == ""


def test_outside_git_the_commit_is_the_one_that_an_image_was_built_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SIGNS_COMMIT", "a" * 40)

    assert git_commit() == "a" * 40


def test_commit_of_a_checkout_that_the_code_is_not_part_of_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "training" / "commit.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(commit, "__file__", str(installed))
    monkeypatch.delenv("SIGNS_COMMIT", raising=False)

    def git(*arguments: str) -> None:
        person = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *person, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "--message", "something else")
    assert git_commit() == ""

    git("add", "--force", str(installed))
    git("commit", "--message", "the code itself")
    assert len(git_commit()) == 40
