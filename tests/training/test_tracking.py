"""Tests of recording runs in MLflow, on databases of their own."""

import time
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from training.errors import TrainingError
from training.tracking import (
    EXPERIMENT,
    default_tracking_uri,
    git_commit,
    log_files,
    log_metrics,
    register_checkpoint,
    tracked_run,
)


def _recorded(runs: Path) -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def test_finished_block_leaves_a_finished_run_with_its_parameters(runs: Path) -> None:
    with tracked_run("first", runs, {"epochs": 3, "device": "cpu"}) as run_id:
        log_metrics({"loss": 2.0}, step=1)
        log_metrics({"loss": 1.0}, step=2)
        log_metrics({"accuracy": 0.5})

    (run,) = _recorded(runs)
    assert run.info.run_id == run_id
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params == {"epochs": "3", "device": "cpu", "git_commit": git_commit()}
    assert run.data.metrics == {"loss": 1.0, "accuracy": 0.5}
    history = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}").get_metric_history(run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 1.0)]


@pytest.mark.parametrize("error", [RuntimeError, TrainingError, KeyboardInterrupt])
def test_failing_block_leaves_a_failed_run_and_its_error(runs: Path, error: type[BaseException]) -> None:
    with pytest.raises(error, match="in the block"), tracked_run("first", runs, {}):
        raise error("in the block")

    (run,) = _recorded(runs)
    assert run.info.status == "FAILED"
    assert mlflow.active_run() is None


def test_runs_one_after_the_other_share_an_experiment(runs: Path) -> None:
    for name in ("first", "second"):
        with tracked_run(name, runs, {}):
            pass

    assert {run.info.run_name for run in _recorded(runs)} == {"first", "second"}
    assert len({run.info.experiment_id for run in _recorded(runs)}) == 1


def test_files_lie_below_the_folder_of_runs(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.txt").write_text("a")
    (tmp_path / "alone.txt").write_text("b")

    with tracked_run("first", runs, {}) as run_id:
        log_files(tmp_path / "plots", "plots")
        log_files(tmp_path / "alone.txt", "texts")

    stored = {path.name: path for path in (runs / "artifacts").rglob("*.txt")}
    assert {name: path.read_text() for name, path in stored.items()} == {"a.txt": "a", "alone.txt": "b"}
    assert all(run_id in path.parts for path in stored.values())
    assert stored["a.txt"].parent.name == "plots"
    assert stored["alone.txt"].parent.name == "texts"


def test_registered_versions_count_up_and_the_newest_is_challenger(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights.safetensors").write_bytes(b"weights")
    versions = []
    for name in ("first", "second"):
        with tracked_run(name, runs, {}) as run_id:
            log_files(tmp_path / "checkpoint", "checkpoint")
            versions.append(register_checkpoint("sign_classifier", run_id, {"test_accuracy": 0.5}))

    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    challenger = client.get_model_version_by_alias("sign_classifier", "challenger")
    assert versions == ["1", "2"]
    assert str(challenger.version) == "2"
    assert challenger.run_id == run_id
    assert challenger.tags == {"test_accuracy": "0.500000"}
    downloaded = Path(mlflow.artifacts.download_artifacts(challenger.source, dst_path=str(tmp_path / "copy")))
    assert (downloaded / "weights.safetensors").read_bytes() == b"weights"


def test_folder_of_runs_is_made(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{runs / 'mlflow.db'}")

    with tracked_run("first", tmp_path / "new" / "folder", {}):
        pass

    assert (tmp_path / "new" / "folder").is_dir()
    assert [run.info.status for run in _recorded(runs)] == ["FINISHED"]


def test_tracking_uri_comes_from_the_environment_or_the_folder(
    tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path.resolve()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert default_tracking_uri(tmp_path) == "http://tracker:5000"


def test_second_folder_of_runs_in_one_process_has_its_own_database(runs: Path, tmp_path: Path) -> None:
    with tracked_run("first", runs, {}):
        pass

    assert default_tracking_uri(tmp_path / "other") == f"sqlite:///{tmp_path.resolve()}/other/mlflow.db"


def test_server_that_is_down_is_a_training_error_soon(
    tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    begin = time.monotonic()

    with (
        pytest.raises(
            TrainingError, match=r"MLflow at http://127\.0\.0\.1:1 cannot be used .*check MLFLOW_TRACKING_URI"
        ),
        tracked_run("first", tmp_path, {}),
    ):
        pytest.fail("the block must not run")

    assert time.monotonic() - begin < 10


def test_tracking_uri_of_an_unknown_kind_is_a_training_error(
    tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://coop")

    with (
        pytest.raises(TrainingError, match="MLflow at carrier-pigeon://coop cannot be used"),
        tracked_run("first", tmp_path, {}),
    ):
        pytest.fail("the block must not run")


def test_damaged_database_is_a_training_error(runs: Path) -> None:
    (runs / "mlflow.db").write_bytes(b"not a database" * 1000)

    with pytest.raises(TrainingError), tracked_run("first", runs, {}):
        pytest.fail("the block must not run")


def test_file_in_place_of_the_folder_of_runs_is_a_training_error(tmp_path: Path, fresh_tracker: None) -> None:
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(TrainingError), tracked_run("first", tmp_path / "runs", {}):
        pytest.fail("the block must not run")


def test_git_commit_is_a_hash_or_empty() -> None:
    commit = git_commit().removesuffix("-dirty")

    assert commit == "" or (len(commit) == 40 and set(commit) <= set("0123456789abcdef"))


def test_git_commit_is_empty_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert git_commit() == ""
