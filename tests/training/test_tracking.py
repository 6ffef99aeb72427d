"""Tests of recording runs in MLflow, on databases of their own."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from traffic_signs.commit import git_commit
from training.errors import TrainingError
from training.tracking import EXPERIMENT, default_tracking_uri, tracked_run


def _fail(notice: str) -> None:
    pytest.fail(f"unexpected notice: {notice}")


def _recorded(runs: Path) -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def test_finished_block_leaves_a_finished_run_with_its_parameters(runs: Path) -> None:
    with tracked_run("first", runs, {"epochs": 3, "device": "cpu"}, _fail) as tracker:
        tracker.log_metrics({"loss": 2.0}, step=1)
        tracker.log_metrics({"loss": 1.0}, step=2)
        tracker.log_metrics({"accuracy": 0.5})

    run_id = tracker.run_id
    (run,) = _recorded(runs)
    assert run.info.run_id == run_id
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.params == {"epochs": "3", "device": "cpu", "git_commit": git_commit()}
    learned = {key: value for key, value in run.data.metrics.items() if not key.startswith("system/")}
    assert learned == {"loss": 1.0, "accuracy": 0.5}
    history = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}").get_metric_history(run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 1.0)]


@pytest.mark.parametrize("error", [RuntimeError, TrainingError, KeyboardInterrupt])
def test_failing_block_leaves_a_failed_run_and_its_error(runs: Path, error: type[BaseException]) -> None:
    with pytest.raises(error, match="in the block"), tracked_run("first", runs, {}, _fail):
        raise error("in the block")

    (run,) = _recorded(runs)
    assert run.info.status == "FAILED"
    assert mlflow.active_run() is None


def test_runs_one_after_the_other_share_an_experiment(runs: Path) -> None:
    for name in ("first", "second"):
        with tracked_run(name, runs, {}, _fail):
            pass

    assert {run.info.run_name for run in _recorded(runs)} == {"first", "second"}
    assert len({run.info.experiment_id for run in _recorded(runs)}) == 1


def test_interrupted_run_is_taken_up_again(runs: Path) -> None:
    with pytest.raises(KeyboardInterrupt), tracked_run("first", runs, {"epochs": 3}, _fail) as tracker:
        tracker.log_metrics({"loss": 2.0}, step=1)
        raise KeyboardInterrupt
    with tracked_run("first", runs, {"epochs": 3}, _fail, tracker.run_id) as again:
        again.log_metrics({"loss": 1.0}, step=2)

    (run,) = _recorded(runs)
    assert (run.info.run_id, run.info.run_name, run.info.status) == (tracker.run_id, "first", "FINISHED")
    assert run.data.metrics["loss"] == 1.0


def test_files_lie_below_the_folder_of_runs(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.txt").write_text("a")

    with tracked_run("first", runs, {}, _fail) as tracker:
        tracker.log_files(tmp_path / "plots")

    (stored,) = (runs / "artifacts").rglob("*.txt")
    assert stored.read_text() == "a"
    assert stored.parent.name == "plots"
    assert tracker.run_id in stored.parts


def test_registered_versions_count_up_and_the_newest_is_challenger(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights.safetensors").write_bytes(b"weights")
    versions = []
    for name in ("first", "second"):
        with tracked_run(name, runs, {}, _fail) as tracker:
            tracker.log_files(tmp_path / "checkpoint")
            versions.append(tracker.register_checkpoint("sign_classifier", {"test_accuracy": 0.5}))

    client = mlflow.MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    challenger = client.get_model_version_by_alias("sign_classifier", "challenger")
    assert versions == ["1", "2"]
    assert str(challenger.version) == "2"
    assert challenger.run_id == tracker.run_id
    assert challenger.tags == {"test_accuracy": "0.500000"}
    downloaded = Path(mlflow.artifacts.download_artifacts(challenger.source, dst_path=str(tmp_path / "copy")))
    assert (downloaded / "weights.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_artifacts_go_where_the_database_is_after_it_was_moved_or_copied(
    how: Callable[[Path, Path], object], runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "weights.safetensors").write_bytes(b"first")
    with tracked_run("first", runs, {}, _fail) as tracker:
        tracker.log_files(tmp_path / "checkpoint")
        tracker.register_checkpoint("sign_classifier", {})
    moved = tmp_path / "50% %41 #1? ü" / "runs"
    moved.parent.mkdir()
    how(runs, moved)
    (tmp_path / "checkpoint" / "weights.safetensors").write_bytes(b"second")
    with tracked_run("second", moved, {}, _fail) as tracker:
        tracker.log_files(tmp_path / "checkpoint")
        tracker.register_checkpoint("sign_classifier", {})

    client = mlflow.MlflowClient(default_tracking_uri(moved))
    for version, content in (("1", b"first"), ("2", b"second")):
        source = client.get_model_version("sign_classifier", version).source
        assert source and source.startswith(moved.resolve().as_uri())
        found = Path(mlflow.artifacts.download_artifacts(source, dst_path=str(tmp_path / f"copy {version}")))
        assert (found / "weights.safetensors").read_bytes() == content
    assert runs.exists() == (how is shutil.copytree)
    if runs.exists():
        assert len(list(runs.rglob("weights.safetensors"))) == 1, "the original is as it was"


def test_system_metrics_are_recorded(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracked_run("first", runs, {}, _fail):
        time.sleep(1.5)

    (run,) = _recorded(runs)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= run.data.metrics.keys()


def test_folder_of_runs_is_made(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{runs / 'mlflow.db'}")

    with tracked_run("first", tmp_path / "new" / "folder", {}, _fail):
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
    with tracked_run("first", runs, {}, _fail):
        pass

    assert default_tracking_uri(tmp_path / "other") == f"sqlite:///{tmp_path.resolve()}/other/mlflow.db"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "carrier-pigeon://coop"])
def test_training_continues_where_no_server_answers_and_says_so(
    tmp_path: Path, fresh_tracker: None, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    notices: list[str] = []

    with tracked_run("first", tmp_path, {}, notices.append) as tracker:
        tracker.log_metrics({"loss": 1.0})
        tracker.log_files(tmp_path)
        assert tracker.register_checkpoint("sign_classifier", {}) == ""

    assert tracker.run_id == ""
    (notice,) = notices
    assert f"MLflow at {uri} cannot be used" in notice
    assert "Check MLFLOW_TRACKING_URI" in notice


def test_training_continues_with_a_damaged_database(runs: Path) -> None:
    (runs / "mlflow.db").write_bytes(b"not a database" * 1000)
    notices: list[str] = []

    with tracked_run("first", runs, {}, notices.append) as tracker:
        tracker.log_metrics({"loss": 1.0})

    assert len(notices) == 1


def test_server_that_goes_down_is_reported_once_and_training_continues(runs: Path) -> None:
    notices: list[str] = []
    with tracked_run("first", runs, {}, notices.append) as tracker:
        tracker.log_metrics({"loss": 1.0})
        (runs / "mlflow.db").write_bytes(b"not a database" * 1000)
        for step in range(3):
            tracker.log_metrics({"loss": 0.5}, step=step)
        tracker.log_files(runs)
        assert tracker.register_checkpoint("sign_classifier", {}) == ""

    (notice,) = notices
    assert "has failed" in notice
    assert "training continues" in notice


def test_file_in_place_of_the_folder_of_runs_is_reported(tmp_path: Path, fresh_tracker: None) -> None:
    (tmp_path / "runs").write_text("a file")
    notices: list[str] = []

    with tracked_run("first", tmp_path / "runs", {}, notices.append):
        pass

    assert len(notices) == 1
