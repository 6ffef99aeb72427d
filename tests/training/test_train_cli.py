"""Tests of `signs train`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest

from tests.training.data.own_data import write_image_folders
from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import TinyGtsdb
from training.checkpoint import load_checkpoint


def _problem(captured: str) -> str:
    """Returns the one line that a failed command must say."""
    (line,) = [line for line in captured.splitlines() if line.strip()]
    assert line.startswith("signs: ")
    return line


def test_data_of_another_form_is_one_line(signs: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("train", "classifier", "--data", "nonsense") == 1
    assert "gtsdb=PATH" in _problem(capsys.readouterr().err)


def test_missing_data_option_ends_with_code_2(signs: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("train", "classifier") == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "-1"),
        ("--holdout", "0.9"),
        ("--workers", "-1"),
        ("--epochs", "many"),
        ("--folds", "-1"),
        ("--weight-decay", "-0.1"),
        ("--weight-decay", "nan"),
    ],
)
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


def test_a_training_that_is_asked_for_again_is_done_once(
    signs: Signs, gtsdb: TinyGtsdb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (
        "train",
        "classifier",
        "--data",
        f"gtsdb={gtsdb.folder}",
        "--runs",
        tmp_path / "runs",
        "--resume-or-skip",
    )
    assert signs(*command) == 2, "which run?"
    options = ("--name", "once", "--epochs", "1", "--holdout", "0", "--json")
    answers = []
    for _ in range(2):
        capsys.readouterr()
        assert signs(*command, *options) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert answers[0]["checkpoint"] == str(tmp_path / "runs" / "once" / "checkpoint")


def test_trained_classifier_is_printed_as_json_alone(
    signs: Signs, gtsdb: TinyGtsdb, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", f"gtsdb={gtsdb.zip}", "--runs", runs, "--name", "tiny", "--epochs", 1, "--device", "cpu"]
    arguments += ["--learning-rate", "0.003", "--weight-decay", "0.5"]

    assert signs("train", "classifier", *arguments, "--json") == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["checkpoint"] == str(runs / "tiny" / "checkpoint")
    assert load_checkpoint(Path(result["checkpoint"]))[1].run_id == result["run_id"]
    assert result["metrics"].keys() == {"gtsdb_test_accuracy", "gtsdb_test_balanced_accuracy", "gtsdb_test_ece"}
    assert "train: epochs: 1 of 1" in captured.err
    recorded = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}").get_run(result["run_id"]).data.params
    assert (recorded["learning_rate"], recorded["weight_decay"]) == ("0.003", "0.5")


def test_trained_classifier_is_printed_with_the_next_command(
    signs: Signs, gtsdb: TinyGtsdb, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", f"gtsdb={gtsdb.folder}", "--runs", runs, "--epochs", 1, "--device", "cpu"]

    assert signs("train", "classifier", *arguments) == 0

    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    run_id = client.get_model_version_by_alias("sign_classifier", "challenger").run_id
    assert run_id is not None
    recorded = client.get_run(run_id).data.params
    assert (recorded["learning_rate"], recorded["weight_decay"]) == ("0.002", "0.1"), "the classifier's own defaults"

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "gtsdb test accuracy",
        "gtsdb test balanced accuracy",
        "gtsdb test ece",
        "plots",
        "checkpoint",
        "next",
    ]
    assert lines[0].endswith("%")
    checkpoint = lines[4].removeprefix("checkpoint: ")
    assert Path(checkpoint).parent.name.startswith("classifier-")
    assert lines[5].startswith(f"next: signs export onnx {checkpoint} --data gtsdb=")
    assert "--repository" not in lines[5], "these are the German signs"
    assert load_checkpoint(Path(checkpoint))


def test_own_classes_are_exported_into_a_repository_of_their_own(
    signs: Signs, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = f"images={write_image_folders(tmp_path / 'mine', 6)}"
    arguments = ["--data", data, "--runs", runs, "--name", "mine", "--epochs", 1, "--device", "cpu", "--workers", 0]

    assert signs("train", "classifier", *arguments) == 0

    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"next: signs export onnx {runs / 'mine' / 'checkpoint'} --data {data} --repository NAME"


def _start(runs: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from clients.command.main import main; main()", "train", *map(str, arguments)]
    return subprocess.Popen([*command, "--runs", str(runs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for_state(runs: Path, process: subprocess.Popen[str]) -> None:
    while not list(runs.glob("cut/states/train.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", [pytest.param(signal.SIGKILL, marks=pytest.mark.long), signal.SIGINT])
def test_killed_run_is_resumed_to_the_same_weights(gtsdb: TinyGtsdb, runs: Path, number: signal.Signals) -> None:
    data = f"gtsdb={os.path.relpath(gtsdb.folder)}"
    options = ("--data", data, "--epochs", 60, "--batch-size", 4, "--holdout", 0, "--device", "cpu")
    cut = _start(runs, "classifier", *options, "--name", "cut")
    _wait_for_state(runs, cut)
    cut.send_signal(number)
    _, said = cut.communicate(timeout=600)
    assert cut.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number == signal.SIGINT:
        assert said.endswith(f"signs: to resume this run: signs train resume cut --runs {runs}\nsigns: stopped\n")
    assert (runs / "cut" / "run.json").is_file()
    assert not (runs / "cut" / "checkpoint").exists()

    whole = _start(runs, "classifier", *options, "--name", "whole")
    resumed = _start(runs, "resume", "cut", "--json")
    (_, whole_said), (out, said) = whole.communicate(timeout=600), resumed.communicate(timeout=600)

    assert (whole.returncode, resumed.returncode) == (0, 0), (whole_said, said)
    assert json.loads(out)["checkpoint"] == str(runs / "cut" / "checkpoint")
    first, second = ((runs / name / "checkpoint" / "weights.safetensors").read_bytes() for name in ("whole", "cut"))
    assert first == second


@pytest.mark.parametrize("is_registered", [False, True])
def test_run_that_was_killed_after_its_checkpoint_is_registered_once(
    signs: Signs,
    gtsdb: TinyGtsdb,
    runs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_registered: bool,
) -> None:
    """The kill is an exception that nothing expects: a real one would hardly meet the moment."""

    def kill(*arguments: object) -> str:
        raise RuntimeError("killed")

    command = [
        "train",
        "classifier",
        "--data",
        f"gtsdb={gtsdb.folder}",
        "--runs",
        runs,
        "--name",
        "cut",
        "--resume-or-skip",
    ]
    with monkeypatch.context() as patch:
        if is_registered:
            patch.setattr("training.runs.forget_interrupted", kill)
        else:
            patch.setattr("training.tracking.Tracker.register_checkpoint", kill)
        assert signs(*command, "--epochs", 1, "--device", "cpu") == 1
    weights = (runs / "cut" / "checkpoint" / "weights.safetensors").read_bytes()
    shutil.rmtree(gtsdb.folder)  # it is not needed for that

    capsys.readouterr()
    assert signs(*command, "--json") == 0

    result = json.loads(capsys.readouterr().out)
    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    (version,) = client.search_model_versions("name = 'sign_classifier'")
    assert version.run_id == result["run_id"]
    assert client.get_model_version_by_alias("sign_classifier", "challenger").version == version.version
    assert client.get_run(result["run_id"]).info.status == "FINISHED"
    assert (runs / "cut" / "checkpoint" / "weights.safetensors").read_bytes() == weights
    assert sorted(path.name for path in (runs / "cut").iterdir()) == ["checkpoint", "plots"]


def test_run_that_is_not_there_cannot_be_resumed(signs: Signs, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert signs("train", "resume", "nowhere", "--runs", runs) == 1
    assert "there is no interrupted run 'nowhere'" in _problem(capsys.readouterr().err)


@pytest.mark.long
def test_torchrun_trains_one_run_in_two_processes(gtsdb: TinyGtsdb, runs: Path) -> None:
    """On the CPU through gloo, as there are no two GPUs here."""
    options = ["--data", f"gtsdb={gtsdb.folder}", "--epochs", "2", "--batch-size", "4", "--device", "cpu", "--json"]
    signs = [str(Path(sys.executable).with_name("signs")), "train", "classifier", "--name", "two", "--runs", str(runs)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python"]

    ended = subprocess.run([*torchrun, *signs, *options], capture_output=True, text=True, timeout=600)

    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    assert load_checkpoint(Path(json.loads(line)["checkpoint"]))


def test_throughput_is_measured_in_pairs(signs: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device", "cpu", "--batch-size", 4, "--steps", 3, "--rounds", 2]

    assert signs("train", "throughput", *options, "--json") == 0

    result = json.loads(capsys.readouterr().out)
    assert result.keys() == {"network", "loop", "ratio", "device", "precision", "workers", "batch_size"}
    assert result["network"] > 0 and result["loop"] > 0 and result["ratio"] > 0
    assert (result["device"], result["batch_size"]) == ("cpu", 4)
