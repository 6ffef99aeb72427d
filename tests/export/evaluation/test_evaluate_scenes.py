"""`signs evaluate` on whole scenes: the same figures whoever answers, end to end where somebody names the signs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.evaluation.run import evaluate_model
from export.evaluation.scenes import SceneAnswer, evaluate_scenes
from export.evaluation.settings import EvaluationRequest
from export.run import export_checkpoint
from tests.clients.command.test_main import one_line, signs
from tests.training.tiny_gtsdb import TinyGtsdb, write_tiny_gtsdb
from traffic_sign_client.errors import ClientError
from traffic_signs.classes import GERMAN_SIGNS
from training.data.gtsdb import load_gtsdb
from training.detector.detections import Detections


@pytest.fixture(scope="module")
def gtsdb(tmp_path_factory: pytest.TempPathFactory) -> TinyGtsdb:
    return write_tiny_gtsdb(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def data(gtsdb: TinyGtsdb) -> str:
    return f"gtsdb={gtsdb.zip}"


@pytest.fixture(scope="module")
def detector_version(detector_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    manifest = export_checkpoint(detector_checkpoint, repository, np.empty((0, 96, 160, 3), np.uint8))
    return repository / manifest.model / str(manifest.version)


def _perfect(gtsdb: TinyGtsdb, named: bool) -> dict[bytes, SceneAnswer]:
    """Returns what somebody who knows the labels would answer, by the scene's encoded bytes."""
    dataset = load_gtsdb(gtsdb.zip)
    answers = {}
    for sample in dataset.samples:
        boxes = np.array([(b.left, b.top, b.right, b.bottom) for b in sample.boxes], np.float32).reshape(-1, 4)
        class_ids = np.array([b.class_id for b in sample.boxes], np.int64)
        scores = np.full(len(boxes), 0.9, np.float32)
        signs = Detections(boxes, scores, GERMAN_SIGNS.labels(class_ids))
        answers[dataset.read(sample)] = SceneAnswer(signs, Detections(boxes, scores, class_ids) if named else None)
    return answers


@pytest.mark.parametrize("named", [True, False])
def test_whoever_knows_the_labels_has_all_of_the_points(gtsdb: TinyGtsdb, tmp_path: Path, named: bool) -> None:
    answers = _perfect(gtsdb, named)
    sizes = set()

    def find(photograph: Image.Image, data: bytes) -> SceneAnswer:
        sizes.add(photograph.size)
        return answers[data]

    figures = evaluate_scenes(find, load_gtsdb(gtsdb.zip), "train", tmp_path / "out", lambda *_: None)

    assert sizes == {(140, 90)}
    assert figures["categories"]["map50"] == 1 and figures["categories"]["misses"] == 0
    assert figures["categories"]["map50_benchmark_interval"] is None, "there is no mistake to draw again"
    assert ("classes" in figures) == named
    assert {path.name for path in (tmp_path / "out").iterdir()} == (
        {"categories", "classes"} if named else {"categories"}
    )
    written = json.loads((tmp_path / "out" / "categories" / "evaluation.json").read_text())
    assert written.items() >= figures["categories"].items()
    if named:
        assert figures["classes"]["map50"] == 1


def test_a_wrong_class_counts_end_to_end_only(gtsdb: TinyGtsdb) -> None:
    answers = _perfect(gtsdb, named=True)

    def find(photograph: Image.Image, data: bytes) -> SceneAnswer:
        signs, named = answers[data].signs, answers[data].named
        assert named is not None
        return SceneAnswer(signs, Detections(named.boxes, named.scores, (named.labels + 1) % 43))

    figures = evaluate_scenes(find, load_gtsdb(gtsdb.zip), "test", None, lambda *_: None)

    assert figures["categories"]["map50"] == 1 and figures["classes"]["map50"] == 0


def test_onnx_runtime_gives_the_figures_of_pytorch(
    detector_checkpoint: Path, detector_version: Path, checkpoint: Path, data: str
) -> None:
    pytorch = evaluate_model(EvaluationRequest(data, detector_checkpoint, split="train", classifier=checkpoint))
    onnx = evaluate_model(EvaluationRequest(data, detector_version, split="train", classifier=checkpoint))

    assert (pytorch["model"], pytorch["backend"], onnx["backend"]) == ("sign_detector", "pytorch", "onnxruntime")
    assert pytorch["categories"]["scenes"] == 5 and pytorch["categories"]["signs"] == 8
    for part in ("categories", "classes"):
        for key in ("map50", "map60", "map50_95"):
            assert onnx[part][key] == pytest.approx(pytorch[part][key], abs=1e-6)
    assert any("training signs" in notice for notice in pytorch["notices"])


def test_command_prints_a_table_and_json_and_writes_pictures(
    detector_checkpoint: Path, checkpoint: Path, data: str, tmp_path: Path
) -> None:
    arguments = ["evaluate", str(detector_checkpoint), "--data", data, "--classifier", str(checkpoint)]

    table = signs(*arguments, "--output", str(tmp_path / "out"))
    assert table.returncode == 0, table.stderr
    for expected in (
        "scenes and signs",
        "mAP50, the benchmark",
        "prohibitory",
        "mAP50 of the classes, end to end",
        "look:",
    ):
        assert expected in table.stdout
    assert (tmp_path / "out" / "classes" / "mistakes.png").is_file()
    result = signs(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    assert {"categories", "classes", "model", "backend"} <= json.loads(result.stdout).keys()


def test_what_does_not_fit_is_one_line(
    detector_checkpoint: Path, detector_version: Path, checkpoint: Path, data: str, tmp_path: Path
) -> None:
    assert "leave it out" in one_line(
        signs("evaluate", str(checkpoint), "--data", data, "--classifier", str(checkpoint))
    )
    for detector in (detector_checkpoint, detector_version):
        swapped = signs("evaluate", str(detector_checkpoint), "--data", data, "--classifier", str(detector))
        assert "is of a sign_detector: give one of a sign_classifier" in one_line(swapped)
    damaged = shutil.copytree(detector_version, tmp_path / "damaged")
    (damaged / "manifest.json").write_text("{")
    assert "manifest.json cannot be read" in one_line(signs("evaluate", str(damaged), "--data", data))
    copy = shutil.copytree(detector_checkpoint, tmp_path / "checkpoint")
    (copy / "weights.safetensors").write_bytes(b"")
    assert "cannot be used" in one_line(signs("evaluate", str(copy), "--data", data))


def test_crops_are_no_scenes(detector_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gtsrb"
    (folder / "Train" / "0").mkdir(parents=True)
    Image.new("RGB", (30, 30)).save(folder / "Train" / "0" / "00000_00000_00000.png")
    header = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n"
    (folder / "Train.csv").write_text(header + "30,30,3,3,27,27,0,Train/0/00000_00000_00000.png\n")

    with pytest.raises(ClientError, match=r"has no street scenes: evaluate a sign_detector on gtsdb=PATH"):
        evaluate_model(EvaluationRequest(f"gtsrb={folder}", detector_checkpoint, split="train"))
