"""`signs robustness`: the figures, table and picture of a classifier and of a detector on corrupted pictures."""

import json
from pathlib import Path

import pytest
import torch

from export.evaluation.robustness import as_markdown, measure_robustness
from export.evaluation.run import evaluate_model
from export.evaluation.settings import EvaluationRequest, RobustnessRequest
from export.repository import Manifest
from tests.clients.command.test_main import one_line, signs
from tests.training.data.own_data import NAMES, write_coco
from tests.training.tiny_gtsdb import write_tiny_gtsdb
from traffic_sign_client.errors import ClientError
from traffic_signs.progress import silent
from training.checkpoint import CheckpointInfo, save_checkpoint
from training.corruptions import CORRUPTIONS, STRENGTHS
from training.errors import DataError
from training.models.classifier import SignClassifier


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"gtsdb={write_tiny_gtsdb(tmp_path_factory.mktemp('data')).zip}"


def test_a_classifier_is_measured_with_a_table_and_a_picture(
    repository: Path, manifest: Manifest, data: str, tmp_path: Path
) -> None:
    version = repository / manifest.model / str(manifest.version)

    figures = measure_robustness(RobustnessRequest(version, data, data, 0.5, limit=40, output=tmp_path), silent)

    assert figures["clean"] == evaluate_model(EvaluationRequest(data, version))["accuracy"]
    assert figures["corruptions"].keys() == CORRUPTIONS.keys()
    assert all(len(values) == len(STRENGTHS) for values in figures["corruptions"].values())
    every = [value for values in figures["corruptions"].values() for value in values]
    assert figures["mean"] == pytest.approx(sum(every) / len(every))
    kinds = figures["unknown"]["kinds"]
    assert {name: each["samples"] for name, each in kinds.items()} == {
        "known signs": 3,
        "drawn other signs": 40,
        "background": kinds["background"]["samples"],
    }
    assert all(0 <= each["unknown"] <= 1 - each["named_above_0_9"] for each in kinds.values())
    assert len(figures["unknown_by_strength"]) == len(STRENGTHS)
    assert all(0 <= share <= 1 for share in figures["unknown_by_strength"])
    assert json.loads((tmp_path / "robustness.json").read_text()) == figures
    assert (tmp_path / "robustness.md").read_text() == as_markdown(figures)
    assert (tmp_path / "robustness.png").stat().st_size > 10_000


def test_without_a_threshold_nothing_is_unknown(checkpoint: Path, data: str) -> None:
    figures = measure_robustness(RobustnessRequest(checkpoint, data, limit=5), silent)

    assert figures["unknown"]["threshold"] is None
    assert "unknown_by_strength" not in figures
    assert figures["unknown"]["kinds"].keys() == {"known signs", "drawn other signs"}
    assert "no threshold" in as_markdown(figures)


def test_a_classifier_of_own_classes_is_not_shown_german_signs_as_others(tmp_path: Path) -> None:
    torch.manual_seed(0)
    info = CheckpointInfo("sign_classifier", "small_resnet", {}, list(NAMES), [48, 48], {})
    save_checkpoint(tmp_path / "checkpoint", SignClassifier(len(NAMES)), info)
    own = f"coco={write_coco(tmp_path / 'mine', {'train': 4, 'test': 4})}"

    figures = measure_robustness(RobustnessRequest(tmp_path / "checkpoint", own, own, 0.5, limit=4), silent)

    assert figures["unknown"]["kinds"].keys() == {"known signs", "background"}
    assert "drawn" not in as_markdown(figures)


def test_a_detector_is_measured_on_scenes(detector_checkpoint: Path, data: str) -> None:
    figures = measure_robustness(RobustnessRequest(detector_checkpoint, data, split="train", limit=2), silent)

    assert (figures["measure"], figures["samples"]) == ("mAP50", 2)
    assert "unknown" not in figures
    with pytest.raises(ClientError, match="--background and --unknown-threshold are for a classifier"):
        measure_robustness(RobustnessRequest(detector_checkpoint, data, data, split="train", limit=2), silent)


def test_scenes_without_a_sign_are_refused(detector_checkpoint: Path, tmp_path: Path) -> None:
    gtsdb = write_tiny_gtsdb(tmp_path)
    labels = gtsdb.folder / "gt.txt"
    labels.write_text("".join(line for line in labels.read_text().splitlines(True) if not line.startswith("00600")))
    data = f"gtsdb={gtsdb.folder}"

    with pytest.raises(ClientError, match="show no sign: give a larger --limit"):
        measure_robustness(RobustnessRequest(detector_checkpoint, data, limit=1), silent)


def test_background_without_scenes_is_refused_before_anything_is_measured(checkpoint: Path, tmp_path: Path) -> None:
    gtsdb = write_tiny_gtsdb(tmp_path)
    for path in gtsdb.folder.glob("000*.jpg"):
        path.unlink()
    measured: list[str] = []

    request = RobustnessRequest(checkpoint, f"gtsdb={gtsdb.zip}", f"gtsdb={gtsdb.folder}", split="train")
    with pytest.raises(DataError, match="no labelled train scenes for background"):
        measure_robustness(request, lambda what, done, total: measured.append(what))
    assert "corrupting and measuring" not in measured


def test_what_cannot_be_measured_is_one_line(checkpoint: Path, data: str, tmp_path: Path) -> None:
    assert "check the path" in one_line(signs("robustness", str(tmp_path), "--data", data))
    assert signs("robustness", str(checkpoint), "--data", data, "--split", "both").returncode == 2
