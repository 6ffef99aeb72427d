"""What a stage leaves for Prometheus outlives it, and the figures of the last good run outlive a bad one."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.programs import IN_MEMORY, free_port, get_json, running
from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import TinyGtsdb
from traffic_signs.stage_metrics import recorded_stage

PREFIX = "signs_pipeline_"


class StageError(Exception):
    pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the textfile collector."""
    monkeypatch.setenv("SIGNS_METRICS_DIR", str(tmp_path / "metrics"))
    monkeypatch.delenv("SIGNS_PUSHGATEWAY_URL", raising=False)
    return tmp_path / "metrics"


@pytest.fixture
def pushgateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a real Pushgateway."""
    address = f"127.0.0.1:{free_port()}"
    arguments = [f"--web.listen-address={address}", *IN_MEMORY]
    with running("pushgateway", arguments, f"http://{address}/-/ready", tmp_path / "log"):
        monkeypatch.setenv("SIGNS_PUSHGATEWAY_URL", f"http://{address}")
        monkeypatch.delenv("SIGNS_METRICS_DIR", raising=False)
        yield f"http://{address}"


def left_in(folder: Path) -> dict[str, float]:
    """Returns what a textfile collector would publish, by `name{label values}`."""
    found = {}
    for path in sorted(folder.iterdir()):
        assert path.suffix == ".prom", "something half-written was left"
        for family in text_string_to_metric_families(path.read_text()):
            for sample in family.samples:
                labels = ",".join(value for _, value in sorted(sample.labels.items()))
                found[f"{sample.name.removeprefix(PREFIX)}{{{labels}}}"] = sample.value
    return found


def pushed_to(address: str) -> dict[str, float]:
    """Returns what a Pushgateway holds, in the same form."""
    found = {}
    for group in get_json(f"{address}/api/v1/metrics")["data"]:
        for name, family in group.items():
            if name.startswith(PREFIX):
                for metric in family["metrics"]:
                    labels = {key: value for key, value in metric["labels"].items() if key not in ("job", "instance")}
                    shown = ",".join(value for _, value in sorted(labels.items()))
                    found[f"{name.removeprefix(PREFIX)}{{{shown}}}"] = float(metric["value"])
    return found


def run_stage(fails: bool = False, **figures: float) -> None:
    with recorded_stage("train", "sign_classifier", pytest.fail) as result:
        if fails:
            raise StageError
        result.examples, result.figures = 7, figures


def test_nothing_is_written_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SIGNS_METRICS_DIR", "SIGNS_PUSHGATEWAY_URL"):
        monkeypatch.delenv(name, raising=False)
    run_stage(accuracy=0.5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("way", ["folder", "pushgateway"])
def test_a_failed_run_leaves_the_figures_of_the_last_good_one(way: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(way)
    read = left_in if way == "folder" else pushed_to
    of = "{sign_classifier,train}"
    before = time.time()
    run_stage(accuracy=0.5)
    good = read(place)
    assert good[f"examples{of}"] == 7
    assert good["figure{sign_classifier,accuracy,train}"] == 0.5
    assert before < good[f"last_start_timestamp_seconds{of}"] <= good[f"last_success_timestamp_seconds{of}"]
    assert good[f"last_end_timestamp_seconds{of}"] == good[f"last_success_timestamp_seconds{of}"] < time.time()

    with pytest.raises(StageError):
        run_stage(fails=True)
    bad = read(place)
    changed = {name.partition("_timestamp")[0] for name in bad if bad[name] != good.get(name)}
    assert changed == {"last_start", "last_end"}
    assert bad[f"last_end_timestamp_seconds{of}"] > bad[f"last_success_timestamp_seconds{of}"]
    assert bad.keys() == good.keys()


def test_a_stage_that_is_killed_leaves_a_beginning_without_an_end(folder: Path) -> None:
    with recorded_stage("gate", "sign_detector", pytest.fail):
        assert left_in(folder).keys() == {"last_start_timestamp_seconds{sign_detector,gate}"}


def test_a_refusal_of_the_gate_is_a_result(folder: Path) -> None:
    with recorded_stage("gate", "sign_classifier", pytest.fail) as result:
        result.version, result.gate_passed = 3, False
    left = left_in(folder)
    assert left["gate_passed{sign_classifier,gate}"] == 0
    assert left["version{sign_classifier,gate}"] == 3
    assert "last_success_timestamp_seconds{sign_classifier,gate}" in left


def test_metrics_that_cannot_be_left_cost_a_notice_and_not_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIGNS_METRICS_DIR", str(tmp_path / "file" / "metrics"))
    monkeypatch.setenv("SIGNS_PUSHGATEWAY_URL", f"http://127.0.0.1:{free_port()}")
    notices: list[str] = []
    done = False
    with recorded_stage("train", "sign_classifier", notices.append):
        done = True
    assert done
    assert any("check SIGNS_METRICS_DIR" in notice for notice in notices)
    assert any("check SIGNS_PUSHGATEWAY_URL" in notice for notice in notices)


def test_training_and_export_leave_their_figures(
    signs: Signs, gtsdb: TinyGtsdb, runs: Path, folder: Path, tmp_path: Path
) -> None:
    data = f"gtsdb={gtsdb.zip}"
    options = ("--data", data, "--runs", runs, "--name", "tiny", "--epochs", 1, "--device", "cpu")
    assert signs("train", "classifier", *options) == 0
    left = left_in(folder)
    assert left["examples{sign_classifier,train}"] > 0
    assert 0 <= left["figure{sign_classifier,gtsdb_test_accuracy,train}"] <= 1
    assert left["duration_seconds{sign_classifier,train}"] > 0

    assert signs("export", "onnx", runs / "tiny" / "checkpoint", "--repository", tmp_path / "models") == 0
    left = left_in(folder)
    assert left["version{sign_classifier,export}"] == 1
    assert left["figure{sign_classifier,max_difference,export}"] < 1e-3


@pytest.mark.parametrize("what", ["classifier", "detector"])
def test_a_training_that_cannot_begin_has_failed(what: str, signs: Signs, folder: Path, tmp_path: Path) -> None:
    assert signs("train", what, "--data", f"gtsdb={tmp_path / 'nowhere'}", "--runs", tmp_path / "runs") == 1
    of = f"{{sign_{what},train}}"
    assert left_in(folder).keys() == {f"last_start_timestamp_seconds{of}", f"last_end_timestamp_seconds{of}"}
