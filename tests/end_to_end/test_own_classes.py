"""Classes of one's own, from labelled scenes in COCO's format to a served recognizer that names them."""

import json
from pathlib import Path

import numpy as np
import pytest

from serving.install import Installation
from serving.server import running_server
from tests.fixture_types import Signs
from tests.training.data.own_data import NAMES, scene, scene_boxes, write_coco, write_image_folders
from traffic_sign_client import SignClient

pytestmark = pytest.mark.end_to_end
QUICK = ("--epochs", "1", "--device", "cpu", "--precision", "fp32", "--workers", "0", "--seed", "1")


def ok(signs: Signs, *arguments: object) -> str:
    code, out, err = signs(*arguments)
    assert code == 0, err
    return out


def test_scenes_with_own_classes_become_a_recognizer(signs: Signs, tmp_path: Path, installation: Installation) -> None:
    data = f"coco={write_coco(tmp_path / 'mine', {'train': 12, 'test': 4})}"
    runs, models = tmp_path / "runs", tmp_path / "models"

    report = json.loads(ok(signs, "data", "check", data, "--json"))
    assert [each["name"] for each in report["data_sets"][0]["classes"]] == list(NAMES)
    for kind in ("classifier", "detector"):
        ok(signs, "train", kind, "--data", data, "--name", kind, "--runs", runs, *QUICK)
        ok(signs, "export", "onnx", runs / kind / "checkpoint", "--data", data, "--repository", models)
    figures = json.loads(ok(signs, "evaluate", models / "sign_classifier" / "1", "--data", data, "--json"))
    assert [each["name"] for each in figures["classes"]] == list(NAMES) and figures["samples"] == 8
    ok(signs, "evaluate", models / "sign_detector" / "1", "--data", data)  # for people: there is no benchmark's mean
    ok(signs, "export", "recognizer", "--repository", models)

    settings = json.loads((models / "sign_recognizer" / "1" / "settings.json").read_text())
    assert settings["class_names"] == list(NAMES)
    assert (settings["category_names"], settings["class_categories"]) == (["disc", "square"], [0, 0, 1])
    with (
        running_server(installation, models, tmp_path / "triton.log") as server,
        SignClient(server.grpc_url) as client,
    ):
        found = client.recognize(scene(scene_boxes(0), 0), score_threshold=0)
        side = client.input_size()
        (best,) = client.classify(np.zeros((1, side, side, 3), np.uint8), top=3)
    assert {prediction.name for prediction in best} == set(NAMES)
    # A detector of one pass may find nothing; what it finds has the names and categories of the data.
    assert {sign.name for sign in found} <= set(NAMES)
    assert {sign.category for sign in found} <= {"disc", "square"}


def test_a_classifier_of_own_pictures_passes_its_gate(signs: Signs, tmp_path: Path) -> None:
    data = f"images={write_image_folders(tmp_path / 'mine', 30)}"
    runs, models = tmp_path / "runs", tmp_path / "models"
    ok(signs, "train", "classifier", "--data", data, "--name", "mine", "--runs", runs, "--epochs", "6", *QUICK[2:])
    ok(signs, "export", "onnx", runs / "mine" / "checkpoint", "--data", data, "--repository", models)
    code, out, err = signs(
        *("export", "gate", "sign_classifier", "--data", data, "--repository", models, "--runs", runs, "--dry-run"),
        *("--requests", "10", "--min-score", "0.1", "--class-floor", "0", "--json"),
    )
    assert code in (0, 1), err  # refused or not, it was compared on its own classes
    verdict = json.loads(out)
    assert verdict["data"]["name"] == "images=mine" and verdict["data"]["signs"] == 9
