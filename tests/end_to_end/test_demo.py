"""`signs demo` as a user runs it, on scenes small enough for a test."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from export.repository import promote
from export.repository.policy import read_config, served
from serving.install import Installation
from training.data.synthetic import write_gtsdb

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from clients.command.main import main; main()"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gtsdb(tmp_path_factory.mktemp("data") / "scenes", train_scenes=20, test_scenes=9, seed=3)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def command(scenes: Path, *arguments: str) -> list[str]:
    home = str(ROOT / ".tritonserver")
    return [*COMMAND, "demo", "--data", str(scenes), "--home", home, "--epochs", "2", *arguments]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}


@pytest.fixture(scope="module")
def summaries(installation: Installation, scenes: Path, workspace: Path) -> list[dict[str, Any]]:
    """What two demos, one after the other, print as JSON; in between the first version is promoted."""
    results = []
    for name in ("first", "second"):
        result = subprocess.run(
            command(scenes, "--name", name, "--json"),
            cwd=workspace,
            env={**environment(), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        results.append(json.loads(result.stdout))
        if name == "first":
            promote(workspace / "runs" / "model_repository", "sign_classifier", 1, "so far the best")
    return results


def test_the_second_run_publishes_version_2(summaries: list[dict[str, Any]], workspace: Path) -> None:
    assert [summary["version"] for summary in summaries] == [1, 2]
    folder = workspace / "runs" / "model_repository" / "sign_classifier"
    shared = ["config.pbtxt", "configs", "labels.txt"]
    expected = [".last-version", "1", "2", *shared, "promotion-1.json", "warmup"]
    assert sorted(entry.name for entry in folder.iterdir()) == expected
    for version in ("1", "2"):
        expected = [*shared, "manifest.json", "model.gpu.onnx", "model.onnx", "warmup"]
        assert sorted(entry.name for entry in (folder / version).iterdir()) == expected
    config = read_config((folder / "config.pbtxt").read_bytes(), "config.pbtxt")
    assert served(config, [1, 2]) == [1], "the demo tries its version and leaves the champion in place"


def test_all_four_accuracies_agree(summaries: list[dict[str, Any]]) -> None:
    for summary in summaries:
        accuracy = summary["accuracy"]
        assert list(accuracy) == ["pytorch", "onnxruntime", "triton_grpc", "triton_http"]
        assert len(set(accuracy.values())) == 1


def test_the_summary_has_what_machines_need(summaries: list[dict[str, Any]], workspace: Path) -> None:
    summary = summaries[0]
    assert summary == json.loads((workspace / "runs" / "first" / "summary.json").read_text())
    assert summary["model"] == "sign_classifier"
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert summary["images_per_second"] > 0
    assert {"data", "train", "export", "serve"} <= set(summary["seconds"])
    assert summary["data"]["test_crops"] > 0


def test_the_report_is_one_file_with_its_pictures(summaries: list[dict[str, Any]], workspace: Path) -> None:
    page = (workspace / "runs" / "first" / "report.html").read_text()
    assert page.count("data:image/") > 10
    assert "http://" not in page and "https://" not in page


def test_the_version_leads_back_to_its_mlflow_run(summaries: list[dict[str, Any]], workspace: Path) -> None:
    import mlflow

    manifest = json.loads(
        (workspace / "runs" / "model_repository" / "sign_classifier" / "2" / "manifest.json").read_text()
    )
    client = mlflow.MlflowClient(f"sqlite:///{workspace / 'runs' / 'mlflow.db'}")
    run = client.get_run(manifest["source"]["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["fingerprint"] == manifest["data"]["fingerprint"]
    challenger = client.get_model_version_by_alias("sign_classifier", "challenger")
    assert challenger.run_id == run.info.run_id


def test_no_server_is_left(summaries: list[dict[str, Any]], workspace: Path) -> None:
    assert servers(workspace) == []


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_demo_leaves_no_server_and_no_half_version(
    installation: Installation, scenes: Path, tmp_path: Path, how: signal.Signals
) -> None:
    process = subprocess.Popen(
        command(scenes, "--name", "killed"),
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "ready on" in line:
            assert servers(tmp_path), "what must be gone later is there now"
            break
    time.sleep(0.5)  # tritonclient prints a traceback of its own when it is interrupted while it connects
    process.send_signal(how)
    rest = process.communicate(timeout=200)[0]
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), rest
    if how == signal.SIGINT:
        assert rest.strip().endswith("signs: stopped") and "Traceback" not in rest
    deadline = time.monotonic() + 60
    while servers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert servers(tmp_path) == []
    assert folders(tmp_path) == {"1", "configs", "warmup"}, "published before the server started, and whole"


def folders(workspace: Path) -> set[str]:
    """Returns which folders the model has: versions, configurations for other hardware, the data of the warm-up."""
    model = workspace / "runs" / "model_repository" / "sign_classifier"
    return {entry.name for entry in model.iterdir() if entry.is_dir()}


def servers(workspace: Path) -> list[int]:
    """Returns the process ids of all tritonservers that serve something in a workspace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "tritonserver" in line.split(" ")[0] and f"--model-repository={workspace}/" in line:
            found.append(int(process.name))
    return found


@pytest.mark.long
def test_a_version_that_triton_answers_differently_is_withdrawn(
    installation: Installation, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime's answers are moved on by a class here, since no real export of ours disagrees."""
    moved = "lambda path: lambda images: {name: np.roll(each, 1, 1) for name, each in predictor(path)(images).items()}"
    code = f"""
import numpy as np
import clients.command.demo.loop as loop
predictor = loop.OnnxPredictor
loop.OnnxPredictor = {moved}
from clients.command.main import main
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code, *command(scenes, "--name", "wrong")[len(COMMAND) :]],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "onnxruntime and PyTorch name different classes" in result.stderr and "withdrawn" in result.stderr
    assert folders(tmp_path) == {"configs", "warmup"}
    assert servers(tmp_path) == []
