"""Tests of the versions that come with the repository: whole, traceable, and as good as their cards say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from export.config import from_text
from export.parity import onnxruntime_predictor
from export.repository import load_manifest, verify_files
from tests.training.data.real_data import GTSRB, NEEDS_GTSRB
from training.classifier.evaluate import evaluate
from training.data.classes import CLASS_NAMES
from training.data.crops import cut_crops
from training.data.gtsrb import load_gtsrb

REPOSITORY = Path(__file__).parents[2] / "model_repository"
SHIPPED = ("sign_classifier",)


@pytest.mark.parametrize("model", SHIPPED)
def test_version_1_is_the_one_that_was_published(model: str) -> None:
    manifest = load_manifest(REPOSITORY, model, 1)

    folder = REPOSITORY / model / "1"
    verify_files(folder, manifest)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"manifest.json", *manifest.files}
    assert sum(entry["size"] for entry in manifest.files.values()) < 10_000_000


@pytest.mark.parametrize("model", SHIPPED)
def test_manifest_leads_back_to_code_and_data_and_names_no_path_of_a_machine(model: str) -> None:
    manifest = load_manifest(REPOSITORY, model, 1)

    assert re.fullmatch(r"[0-9a-f]{40}", manifest.source["git_commit"]), "trained with files that are not committed"
    assert re.fullmatch(r"[0-9a-f]{64}", manifest.data["fingerprint"])
    assert not re.search(r'"/|"[A-Z]:|/(home|tmp|root|work)/', (REPOSITORY / model / "1" / "manifest.json").read_text())


def test_config_fits_the_classifier() -> None:
    config = from_text((REPOSITORY / "sign_classifier" / "config.pbtxt").read_text())
    manifest = load_manifest(REPOSITORY, "sign_classifier", 1)

    assert config.name == "sign_classifier" and config.platform == "onnxruntime_onnx"
    assert [-1, *config.input[0].dims] == manifest.inputs[0]["shape"]
    assert [-1, *config.output[0].dims] == manifest.outputs[0]["shape"] == [-1, len(CLASS_NAMES)]
    assert (REPOSITORY / "sign_classifier" / "labels.txt").read_text().splitlines() == list(CLASS_NAMES)


def test_card_says_what_the_manifest_says() -> None:
    card = (REPOSITORY / "sign_classifier" / "MODEL_CARD.md").read_text()
    metrics = json.loads((REPOSITORY / "sign_classifier" / "1" / "manifest.json").read_text())["metrics"]

    assert f"{metrics['gtsrb_test_accuracy']:.2%}" in card
    assert f"{metrics['validation_accuracy']:.2%}" in card
    assert f"{metrics['gtsrb_test_ece']:.4f}" in card


@pytest.mark.parametrize("archive", [pytest.param(GTSRB, marks=NEEDS_GTSRB)])
def test_shipped_classifier_is_as_good_as_its_manifest_says(archive: Path) -> None:
    crops = cut_crops(load_gtsrb(archive), "test", 48)
    predict = onnxruntime_predictor(REPOSITORY / "sign_classifier" / "1" / "model.onnx")

    probabilities = np.concatenate([predict(batch) for batch in np.array_split(crops.images, 30)])

    evaluation = evaluate(probabilities, crops.class_ids)
    metrics = load_manifest(REPOSITORY, "sign_classifier", 1).metrics
    if len(crops) == 3000:  # those that the manifest's figures are of
        assert evaluation.accuracy == pytest.approx(metrics["gtsrb_test_accuracy"], abs=1e-9)
    assert evaluation.accuracy >= 0.994
    assert evaluation.metrics()["ece"] <= 0.01
