"""Generated files are written, and outdated ones are reported."""

from pathlib import Path

import pytest

from traffic_signs.generated_files import outdated, write_or_check

CONTENTS = {"a.json": "1", "b.json": "2"}


def test_outdated_files_are_reported_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> int:
        return write_or_check(tmp_path / "new", CONTENTS, "some.module", arguments)

    assert run() == 0 and outdated(tmp_path / "new", CONTENTS) == []
    (tmp_path / "new" / "a.json").unlink()
    (tmp_path / "new" / "b.json").write_text("3")
    (tmp_path / "new" / "old.json").write_text("4")
    (tmp_path / "new" / "notes.txt").write_text("kept")
    assert outdated(tmp_path / "new", CONTENTS) == ["a.json", "b.json", "old.json"]
    assert run("--check") == 1
    assert "b.json is not up to date: run python -m some.module" in capsys.readouterr().err
    assert run() == 0 and run("--check") == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.json", "b.json", "notes.txt"]


def test_wrong_usage_ends_with_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_or_check(tmp_path, CONTENTS, "some.module", ["--chekc"]) == 2
    assert "--check" in capsys.readouterr().err
