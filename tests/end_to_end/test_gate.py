"""`signs export gate` with a real tritonserver: what passes, what each rule refuses, what cannot be evaluated."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import pytest

from export import hardware_fit
from export.gate.run import compare_served_answers
from export.gate.side_by_side import Staged, serve_side_by_side, stage
from export.gate.verdict import Role
from export.repository import Manifest, champion, load_manifest, promote, publish, publish_copy
from export.repository.manifest import GPU_FILE
from export.repository.store import open_store
from serving.install import Installation
from tests.colour_classifier import PARITY, colour_classifier, publish_colours, write_colours
from tests.end_to_end.street import boxes_of, street
from tests.fixture_types import Signs
from tests.red_detector import detector_config, red_detector
from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from traffic_signs.progress import silent
from training.tracking import tracked_run

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
MODEL = "sign_classifier"
Gate = Signs


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"gtsdb={write_colours(tmp_path_factory.mktemp('data') / 'colours')}"


@pytest.fixture
def gate(installation: Installation, signs: Signs, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Runs `signs export gate MODEL --data DATA ...`."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(model: str, data: str, *arguments: object) -> tuple[int, str, str]:
        options = ("--data", data, "--home", ROOT / ".tritonserver", "--requests", "30", *arguments)
        return signs("export", "gate", model, *options)

    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository whose version 1 is the champion and without fault."""
    place = tmp_path / "model_repository"
    publish_colours(place, colour_classifier())
    promote(place, MODEL, 1, "")
    return place


def failed(verdict: dict[str, Any]) -> dict[str, str]:
    return {rule["rule"]: rule["text"] for rule in verdict["rules"] if not rule["passed"]}


def registered(runs: Path, folder: Path) -> str:
    """Registers a version as a training does; returns the run's id."""
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "checkpoint" / "weights.safetensors").write_bytes(b"weights")
    with tracked_run("run", runs, {}, lambda notice: pytest.fail(notice)) as tracker:
        tracker.log_files(folder / "checkpoint")
        tracker.register_checkpoint(MODEL, {})
    return tracker.run_id


def test_an_equal_challenger_of_another_input_size_passes_and_that_is_written_down(
    gate: Gate, signs: Signs, place: Path, colours: str, tmp_path: Path
) -> None:
    run_id = registered(tmp_path / "runs", tmp_path / "trained")
    publish_colours(place, colour_classifier(32), 32, source={"run_id": run_id}, data={"name": "gtsrb=x"})

    code, out, err = gate(MODEL, colours, "--max-latency-ratio", "20", "--runs", tmp_path / "runs")

    assert code == 0, err
    assert "sign_classifier 2 may become champion: it passes every rule against version 1" in out
    assert "100.00% of 100 right, champion 100.00%: 0 won, 0 lost" in out
    assert "version 2: it learned from GTSRB" in out
    assert f"next: signs repository promote sign_classifier 2 --gated --runs {tmp_path / 'runs'}" in out
    written = load_manifest(place, MODEL, 2).gate
    assert written["passed"] is True and failed(written) == {}
    assert (written["challenger"]["version"], written["champion"]["version"]) == (2, 1)
    assert written["data"]["signs"] == 100 and len(written["data"]["fingerprint"]) == 64
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    version = client.get_model_version_by_alias(MODEL, "challenger")
    assert version.tags["gate"] == "passed" and version.tags["gate.champion"] == "1"
    code, _, _ = signs("repository", "promote", MODEL, "2", "--gated")
    assert code == 0 and champion(open_store(place), MODEL) == 2
    aliases = client.get_registered_model(MODEL).aliases
    assert {alias: str(number) for alias, number in aliases.items()} == {"champion": str(version.version)}


def test_versions_are_served_by_their_configuration_for_the_machine(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_fit, "usable_cores", lambda: 4)
    store, log = open_store(repository), tmp_path / "log"
    staged = stage(store, MODEL, 1, "challenger", tmp_path, None, silent)
    with serve_side_by_side(installation, {"challenger": staged}, log, store) as served:
        assert served["challenger"].max_batch == 64
    assert "challenger_0_3 " in log.read_text(), "the last of four instances"


def test_int8_is_evaluated_where_the_machine_would_serve_it(
    installation: Installation,
    repository: Path,
    manifest: Manifest,
    int8_repository: Path,
    random_crops: npt.NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx2\n")
    monkeypatch.setattr(hardware_fit, "CPU_INFO", tmp_path / "cpuinfo")
    staged: dict[Role, Staged] = {
        "champion": stage(open_store(repository), MODEL, 1, "champion", tmp_path, None, silent),
        "challenger": stage(open_store(int8_repository), MODEL, 1, "challenger", tmp_path, None, silent),
    }
    with serve_side_by_side(installation, staged, tmp_path / "log", open_store(repository)) as served:
        assert {role: each.precision for role, each in served.items()} == {"champion": "fp32", "challenger": "int8"}
        finding = compare_served_answers(served["challenger"], random_crops)
    assert finding.passed and finding.figures["max_difference"] < 1e-4, "of the int8 file in process, not of fp32"


def test_answers_of_the_file_for_gpus_are_compared_with_that_file(
    installation: Installation,
    repository: Path,
    manifest: Manifest,
    random_crops: npt.NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It answers on the CPU here, and the file for CPUs is said to be in int8."""
    staged = stage(open_store(repository), MODEL, 1, "challenger", tmp_path, None, silent)
    staged = replace(staged, manifest=replace(staged.manifest, precision="int8"))
    path = tmp_path / "models" / "challenger" / "configs" / "gpu.pbtxt"
    path.write_text(path.read_text().replace("KIND_GPU", "KIND_CPU"))
    monkeypatch.setattr("export.gate.side_by_side.fitting_arguments", lambda *_: ("--model-config-name=gpu",))
    versions: dict[Role, Staged] = {"challenger": staged}
    with serve_side_by_side(installation, versions, tmp_path / "log", open_store(repository)) as served:
        answering = served["challenger"]
        assert (answering.model_file.name, answering.precision, answering.on_gpu) == (GPU_FILE, "fp32", False)
        finding = compare_served_answers(answering, random_crops)
    assert finding.passed and finding.figures["max_difference"] < 1e-4


def test_a_worse_challenger_in_a_bucket_is_refused_by_name_of_the_rule(
    gate: Gate, place: Path, colours: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_colours(place, colour_classifier(wrong=(14,)), source={"run_id": "a1"})
    for version in (1, 2):
        publish_copy(place / MODEL / str(version), bucket)
    promote(bucket, MODEL, 1, "")
    monkeypatch.setenv("SIGNS_METRICS_DIR", str(tmp_path / "metrics"))

    code, out, err = gate(MODEL, colours, "--json", "--repository", bucket)

    assert code == 1, err
    verdict = json.loads(out)
    assert {"accuracy", "classes"} <= failed(verdict).keys() <= {"accuracy", "classes", "latency"}
    assert "stop 0.0% after 100.0% of 25" in failed(verdict)["classes"]
    assert "is refused for its accuracy, classes" in verdict["verdict"]
    assert verdict["recorded"]["manifest"] is True and "mlflow.db" in verdict["recorded"]["unrecorded"]
    assert load_manifest(bucket, MODEL, 2).gate["passed"] is False
    left = (tmp_path / "metrics" / f"signs-gate-{MODEL}-success.prom").read_text()
    labels = f'{{model="{MODEL}",stage="gate"}}'
    assert f"signs_pipeline_gate_passed{labels} 0.0" in left and f"signs_pipeline_version{labels} 2.0" in left


def test_budgets_are_kept_to_and_a_dry_run_writes_nothing(gate: Gate, place: Path, colours: str) -> None:
    """The budgets are such that nothing can keep to them, however fast the machine is."""
    publish_colours(place, colour_classifier())
    before = (place / MODEL / "2" / "manifest.json").read_bytes()

    code, out, err = gate(
        MODEL, colours, "--max-latency-ratio", "0.001", "--max-size-ratio", "0.5", "--json", "--dry-run"
    )

    assert code == 1, err
    verdict = json.loads(out)
    assert failed(verdict).keys() == {"latency", "size"}
    assert "0.001 times is allowed at p50" in failed(verdict)["latency"]
    assert verdict["recorded"] == {"manifest": False, "mlflow": "", "unrecorded": ""}
    assert (place / MODEL / "2" / "manifest.json").read_bytes() == before


def test_a_challenger_that_triton_cannot_load_is_refused_with_the_reason(gate: Gate, place: Path, colours: str) -> None:
    publish_colours(place, colour_classifier()[:-500], parity={**PARITY, "max_difference": 0.1})

    code, out, _ = gate(MODEL, colours)

    assert code == 1
    assert "refused  loading" in out and f"{place.name}/{MODEL}/2/model.onnx" in out
    assert "refused  parity" in out and "0.0001 is allowed" in out
    assert "is refused for its loading, parity, and version 1 stays" in out
    assert load_manifest(place, MODEL, 2).gate["passed"] is False


def test_a_first_champion_keeps_to_the_floors(gate: Gate, tmp_path: Path, colours: str) -> None:
    publish_colours(tmp_path / "model_repository", colour_classifier(wrong=(14,)))

    code, out, _ = gate(MODEL, colours, "--json", "--max-p99-ms", "10000")

    assert code == 1
    verdict = json.loads(out)
    assert verdict["champion"] is None and failed(verdict).keys() == {"accuracy", "classes"}
    assert "75.00% of 100 right; without a champion it needs 90.00%" in failed(verdict)["accuracy"]
    assert any("there is no other version" in notice for notice in verdict["notices"])

    publish_colours(tmp_path / "model_repository", colour_classifier(wrong=(14,)))
    code, out, _ = gate(MODEL, colours, "--json", "--max-p99-ms", "10000")
    verdict = json.loads(out)
    assert code == 1 and verdict["challenger"]["version"] == 2
    assert verdict["champion"] is None, "to be no worse than what was refused is not enough"
    assert failed(verdict).keys() == {"accuracy", "classes"}


def test_a_classifier_of_fewer_classes_cannot_be_evaluated(gate: Gate, place: Path, colours: str) -> None:
    publish_colours(place, colour_classifier(classes=40), classes=40)

    code, out, err = gate(MODEL, colours)

    assert (code, out) == (2, "")
    assert "sign_classifier 2 has other classes than version 1 (40 classes instead of 43)" in err.splitlines()[-1]
    code, _, err = gate(MODEL, colours, "--other-classes")
    assert code == 2 and "than gtsdb=" in err.splitlines()[-1]
    assert load_manifest(place, MODEL, 2).gate == {}


def write_streets(folder: Path) -> str:
    """Writes a GTSDB of 12 test scenes with two red cells each, which are danger signs."""
    folder.mkdir()
    lines = []
    for scene in range(12):
        cells = [(scene % 8, 2), (9 + scene % 5, 6)]
        street(cells, seed=scene).save(folder / f"{600 + scene:05}.jpg", quality=95)
        for left, top, right, bottom in sorted(boxes_of(cells)):
            lines.append(f"{600 + scene:05}.ppm;{left:.0f};{top:.0f};{right - 1:.0f};{bottom - 1:.0f};18\n")
    (folder / "gt.txt").write_text("".join(lines))
    return f"gtsdb={folder}"


def publish_detector(place: Path, change: Callable[[bytes], bytes] = bytes) -> None:
    shared = {"config.pbtxt": str(detector_config(400, 680, 4))}
    facts = {"precision": "fp32", "opset": 20, "ir_version": 10, "parity": {**PARITY, "max_box_difference": 0.0}}
    publish(place, "sign_detector", {"model.onnx": change(red_detector(400, 680))}, shared, facts)


def blind(content: bytes) -> bytes:
    """Makes the detector see red in grey too: it finds what is there, and the whole street besides."""
    model = onnx.load_from_string(content)
    contrast = next(each for each in model.graph.initializer if each.name == "contrast")
    contrast.CopyFrom(onnx.numpy_helper.from_array(np.array(-50, np.float32), "contrast"))
    return bytes(model.SerializeToString())


def test_detectors_are_evaluated_on_scenes(gate: Gate, tmp_path: Path) -> None:
    place, data = tmp_path / "model_repository", write_streets(tmp_path / "streets")
    publish_detector(place)
    publish_detector(place)
    publish_detector(place, blind)

    code, out, err = gate("sign_detector", data, "--challenger", "2", "--json", "--max-latency-ratio", "20")
    assert code == 0, err
    verdict = json.loads(out)
    figures = {rule["rule"]: rule["figures"] for rule in verdict["rules"]}
    assert figures["signs found"]["challenger"] == 1 and figures["mAP50"]["champion"] == pytest.approx(1)
    assert figures["false alarms"]["challenger"] == 0 and figures["served answers"]["samples"] == 8
    assert any("nothing is promoted yet" in notice for notice in verdict["notices"])

    code, out, err = gate("sign_detector", data, "--champion", "2", "--json", "--max-latency-ratio", "20")
    assert code == 1, err
    assert {"false alarms", "mAP50"} <= failed(json.loads(out)).keys()


def test_ctrl_c_leaves_no_server_and_no_trace(
    installation: Installation, place: Path, colours: str, tmp_path: Path
) -> None:
    publish_colours(place, colour_classifier())
    before = (place / MODEL / "2" / "manifest.json").read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = ["--repository", str(place), "--data", colours, "--home", str(ROOT / ".tritonserver")]
    code = "from clients.command.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "export", "gate", MODEL, *options, "--requests", "1000000"],
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    printed = []
    for line in process.stderr:
        printed.append(line)
        if "asking the challenger" in line:
            break
    assert servers_on(scratch), f"it is not up: {printed}"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err.splitlines()[-1]) == (130, "signs: stopped"), err
    deadline = time.monotonic() + 60
    while servers_on(scratch) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not servers_on(scratch) and not list(scratch.glob("signs-gate-*"))
    assert (place / MODEL / "2" / "manifest.json").read_bytes() == before


def servers_on(folder: Path) -> list[str]:
    """Returns the command lines of running tritonservers whose models lie in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if "tritonserver" in line and str(folder) in line:
            found.append(line)
    return found


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes sure that an error comes before the server is looked for."""
    monkeypatch.setattr("export.gate.run.find_or_install", lambda *_: pytest.fail("no server is needed to know that"))


def test_what_cannot_be_evaluated_ends_with_2_and_one_line(
    gate: Gate, place: Path, colours: str, tmp_path: Path, unread: None
) -> None:
    def reason(model: str, data: str, *arguments: str) -> str:
        code, out, err = gate(model, data, *arguments)
        assert (code, out) == (2, "")
        assert "Traceback" not in err
        return err.splitlines()[-1]

    assert "is the champion, and there is no other version" in reason(MODEL, colours)
    publish_colours(place, colour_classifier())
    assert "there is no model nothing in" in reason("nothing", colours)
    assert "cannot name a model" in reason("../x", colours)
    assert "there is no version 9" in reason(MODEL, colours, "--challenger", "9")
    assert "there is no version 9" in reason(MODEL, colours, "--champion", "9")
    assert "cannot be compared with itself" in reason(MODEL, colours, "--challenger", "2", "--champion", "2")
    assert "there is no data at" in reason(MODEL, "gtsdb=nowhere")
    assert "no labelled signs in its train split" in reason(MODEL, colours, "--split", "train")
    assert "is not the frozen evaluation set" in reason(MODEL, colours, "--fingerprint", "ABC")
    broken = tmp_path / "broken"
    write_colours(broken)
    (broken / "00600.jpg").write_bytes(b"no picture")
    assert "00600.jpg cannot be used" in reason(MODEL, f"gtsdb={broken}")
    (place / MODEL / "2" / "model.onnx").write_bytes(b"another")
    assert "is not the file that was published" in reason(MODEL, colours)
    assert load_manifest(place, MODEL, 2).gate == {}


def test_a_recognizer_and_a_split_that_is_none(gate: Gate, place: Path, colours: str, unread: None) -> None:
    from export.recognizer import export_recognizer

    publish_detector(place)
    export_recognizer(place)
    code, _, err = gate("sign_recognizer", colours)
    assert code == 2 and "for a recognizer, gate the two models" in err.splitlines()[-1]
    code, _, err = gate(MODEL, colours, "--split", "all")
    assert code == 2 and "--split" in err


def test_a_fault_of_ours_is_no_refusal(gate: Gate, place: Path, colours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("export.gate.run.load_data", fail)
    publish_colours(place, colour_classifier())
    code, _, err = gate(MODEL, colours)
    assert code == 2 and "ZeroDivisionError: a fault" in err


class TestRealSigns:
    pytestmark = NEEDS_GTSDB

    def test_a_spoilt_copy_of_the_shipped_classifier_is_refused_on_real_signs(self, gate: Gate, tmp_path: Path) -> None:
        place, shipped = tmp_path / "model_repository", ROOT / "model_repository" / MODEL
        publish_copy(shipped / "1", place)
        model = onnx.load(shipped / "1" / "model.onnx")
        head = next(each for each in model.graph.initializer if each.name.endswith("head.weight"))
        weights = onnx.numpy_helper.to_array(head).copy()
        weights[[1, 2]] = weights[[2, 1]]  # speed limits 30 and 50
        head.CopyFrom(onnx.numpy_helper.from_array(weights, head.name))
        files = {"model.onnx": model.SerializeToString()}
        shared = {name: (shipped / name).read_text() for name in ("config.pbtxt", "labels.txt")}
        facts = {"precision": "fp32", "parity": PARITY, "data": {"name": "gtsrb=gtsrb.zip"}}
        publish(place, MODEL, files, shared, facts)

        code, out, err = gate(MODEL, f"gtsdb={GTSDB}", "--champion", "1", "--json", "--max-latency-ratio", "20")

        assert code == 1, err
        verdict = json.loads(out)
        assert failed(verdict).keys() == {"accuracy", "classes"}
        assert "speed limit 30 0.0% after 100.0%" in failed(verdict)["classes"]
        assert sum("it learned from GTSRB" in notice for notice in verdict["notices"]) == 2
