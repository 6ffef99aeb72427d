"""Tests of `signs train`."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.cli import main
from tests.training.tiny_gtsdb import TinyGtsdb
from training.checkpoint import load_checkpoint

Signs = Callable[..., int]


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Signs]:
    """Returns a function that runs `signs ARGUMENTS` in this process and returns its exit code."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["signs", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    yield run
    signal.signal(signal.SIGTERM, handler)


def _problem(captured: str) -> str:
    """Returns the one line that a failed command must say."""
    (line,) = [line for line in captured.splitlines() if line.strip()]
    assert line.startswith("signs: ")
    return line


def test_data_of_another_form_is_one_line(signs: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("train", "classifier", "--data", "nonsense") == 1
    assert "give gtsdb=PATH or gtsrb=PATH" in _problem(capsys.readouterr().err)


def test_missing_data_option_ends_with_code_2(signs: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("train", "classifier") == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--epochs", "0"), ("--epochs", "many"), ("--folds", "-1")])
def test_number_out_of_range_ends_with_code_2(
    signs: Signs, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert signs("train", "classifier", "--data", "gtsdb=x", option, value) == 2
    assert option in capsys.readouterr().err


def test_missing_path_ends_with_code_1_and_one_line(
    signs: Signs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signs("train", "classifier", "--data", f"gtsdb={tmp_path / 'nowhere'}", "--runs", tmp_path / "runs") == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "there is no data at" in _problem(captured.err)
    assert not (tmp_path / "runs").exists()


def test_file_that_is_no_data_ends_with_code_1_and_one_line(
    signs: Signs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.zip").write_text("text")

    assert signs("train", "classifier", "--data", f"gtsdb={tmp_path / 'data.zip'}", "--runs", tmp_path / "runs") == 1
    assert "is not a whole zip archive" in _problem(capsys.readouterr().err)


def test_taken_name_ends_with_code_1_and_one_line(
    signs: Signs, gtsdb: TinyGtsdb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "taken" / "checkpoint").mkdir(parents=True)

    data, runs = f"gtsdb={gtsdb.folder}", tmp_path / "runs"
    assert signs("train", "classifier", "--data", data, "--runs", runs, "--name", "taken") == 1
    assert "choose another --name" in _problem(capsys.readouterr().err)


def test_trained_classifier_is_printed_as_json_alone(
    signs: Signs, gtsdb: TinyGtsdb, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", f"gtsdb={gtsdb.zip}", "--runs", runs, "--name", "tiny", "--epochs", 1, "--device", "cpu"]

    assert signs("train", "classifier", *arguments, "--json") == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["checkpoint"] == str(runs / "tiny" / "checkpoint")
    assert load_checkpoint(Path(result["checkpoint"]))[1].run_id == result["run_id"]
    assert result["metrics"].keys() == {"test_accuracy", "test_balanced_accuracy"}
    assert "training epochs" in captured.err


def test_trained_classifier_is_printed_with_the_next_command(
    signs: Signs, gtsdb: TinyGtsdb, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", f"gtsdb={gtsdb.folder}", "--runs", runs, "--epochs", 1, "--device", "cpu"]

    assert signs("train", "classifier", *arguments) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["test accuracy", "test balanced accuracy", "checkpoint", "next"]
    assert lines[0].endswith("%")
    checkpoint = lines[2].removeprefix("checkpoint: ")
    assert Path(checkpoint).parent.name.startswith("classifier-")
    assert lines[3].startswith(f"next: signs export onnx {checkpoint} --data gtsdb=")
    assert load_checkpoint(Path(checkpoint))
