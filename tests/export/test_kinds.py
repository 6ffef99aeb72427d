"""A kind of model is one object; a network answers in the same form wherever it runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from export import kinds
from export.arrays import Images, Outputs, spread
from export.errors import ExportError
from export.evaluation.run import evaluate_model
from export.evaluation.settings import EvaluationRequest
from export.kinds import CLASSIFIER, DETECTOR, TensorSpec, find_kind, kind_of_inputs
from export.model_kind import Predictor
from export.predictor import OnnxPredictor
from export.run import export_checkpoint
from training.checkpoint import NETWORKS


class Sums(Predictor):
    """Answers the sum of each image, three images at a time."""

    def __init__(self) -> None:
        self.max_batch = 3
        self.asked: list[int] = []

    def _run(self, images: Images) -> Outputs:
        self.asked.append(len(images))
        return {"sums": images.sum(axis=(1, 2, 3))}


def test_more_images_than_a_batch_are_answered_in_parts() -> None:
    network, seen = Sums(), []
    images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1).repeat(3, axis=3)
    answers = network(images, lambda *counts: seen.append(counts))
    assert answers["sums"].tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert network.asked == [3, 3, 1] and seen == [(3, 7), (6, 7), (7, 7)]


def test_kinds_are_known_by_their_name_and_their_input() -> None:
    for kind in (CLASSIFIER, DETECTOR):
        assert find_kind(kind.name) is kind and kind_of_inputs([kind.input.name]) is kind
    assert kind_of_inputs(["image"]) is None and kind_of_inputs(["images", "scenes"]) is None
    with pytest.raises(ExportError, match="give one of sign_classifier, sign_detector"):
        find_kind("sign_recognizer")


def test_a_file_of_something_else_is_refused(classifier_onnx: Path, tmp_path: Path) -> None:
    model = onnx.load(classifier_onnx)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save(model, tmp_path / "floats.onnx")
    with pytest.raises(ExportError, match=r"floats\.onnx is not a classifier or detector"):
        OnnxPredictor(tmp_path / "floats.onnx")


def test_a_third_kind_is_one_object(
    checkpoint: Path,
    random_crops: npt.NDArray[np.uint8],
    tiny_data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    third = replace(CLASSIFIER, name="sign_other", input=TensorSpec("others", "UINT8", (None, None, 3)))
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, third))
    monkeypatch.setitem(NETWORKS, "sign_other", NETWORKS["sign_classifier"])
    copy = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    info = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(info | {"model": "sign_other"}))

    manifest = export_checkpoint(copy, tmp_path / "models", random_crops)
    figures = evaluate_model(EvaluationRequest(tiny_data, tmp_path / "models" / "sign_other" / "1"))

    assert (manifest.model, manifest.inputs[0]["name"]) == ("sign_other", "others")
    assert manifest.gpu["fixed_batches"] == [64] and manifest.parity["real_samples"] == len(random_crops)
    assert (figures["model"], figures["samples"]) == ("sign_other", 3)


@pytest.mark.parametrize(("count", "most", "chosen"), [(9, 3, [0, 4, 8]), (3, 9, [0, 1, 2]), (4, 0, [0, 1, 2, 3])])
def test_samples_are_spread_evenly(count: int, most: int, chosen: list[int]) -> None:
    assert spread(count, most).tolist() == chosen
