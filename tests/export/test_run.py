"""From checkpoint to published version, and nothing published when anything is wrong."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from export import proof as module
from export.arrays import Outputs
from export.errors import ExportError, ParityError
from export.model_kind import Predictor
from export.repository import Manifest, load_manifest, promote, verify_files, versions
from export.repository.policy import read_config
from export.run import export_checkpoint
from tests.export.repository.samples import tree
from training.checkpoint import CheckpointInfo, save_checkpoint
from training.errors import CheckpointError
from training.models.classifier import SignClassifier

Crops = npt.NDArray[np.uint8]


def test_the_version_says_what_it_is(manifest: Manifest, repository: Path) -> None:
    assert manifest == load_manifest(repository, "sign_classifier", 1)
    verify_files(repository / "sign_classifier" / "1", manifest)
    assert manifest.inputs == [{"name": "images", "datatype": "UINT8", "shape": [-1, 48, 48, 3]}]
    assert manifest.outputs == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 43]}]
    assert manifest.parity["real_samples"] == 80
    assert manifest.data["fingerprint"] == "0" * 64
    config = read_config((repository / "sign_classifier" / "config.pbtxt").read_bytes(), "")
    assert config.name == "sign_classifier"
    labels = (repository / "sign_classifier" / "labels.txt").read_text().splitlines()
    assert len(labels) == 43 and labels[14] == "stop"


def test_without_real_samples_parity_is_proved_on_random_and_extreme_images(checkpoint: Path, tmp_path: Path) -> None:
    manifest = export_checkpoint(checkpoint, tmp_path, np.empty((0, 48, 48, 3), np.uint8))
    assert manifest.parity["real_samples"] == 0 and manifest.parity["samples"] > 0


def test_samples_of_another_size_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"the model takes \[48, 48\] pixels"):
        export_checkpoint(checkpoint, tmp_path, np.zeros((1, 32, 32, 3), np.uint8))
    assert versions(tmp_path, "sign_classifier") == []


def test_a_model_that_differs_is_not_published(
    checkpoint: Path, tmp_path: Path, random_crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    def altered(network: Predictor, images: list[Crops], *_: object) -> Outputs:
        values = network(np.stack(images))["probabilities"]
        return {"probabilities": values * (0.99 if network.backend == "onnxruntime" else 1)}

    monkeypatch.setattr(module, "predict_in_batches", altered)
    with pytest.raises(ParityError, match="nothing was published"):
        export_checkpoint(checkpoint, tmp_path, random_crops)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def own_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a sign classifier of three classes that are no German signs."""
    torch.manual_seed(0)
    info = CheckpointInfo("sign_classifier", "small_resnet", {}, ["bolt", "nut", "screw"], [48, 48], {})
    save_checkpoint(tmp_path / "own", SignClassifier(3), info)
    return tmp_path / "own"


def test_other_classes_do_not_replace_those_of_a_repository_unasked(
    manifest: Manifest, repository: Path, checkpoint: Path, own_checkpoint: Path, tmp_path: Path
) -> None:
    place, none = shutil.copytree(repository, tmp_path / "models"), np.empty((0, 48, 48, 3), np.uint8)
    before = tree(place)
    with pytest.raises(ExportError, match=r"sign_classifier 1 in .* \(3 classes instead of 43\).*--other-classes"):
        export_checkpoint(own_checkpoint, place, none)
    assert tree(place) == before
    assert export_checkpoint(own_checkpoint, place, none, other_classes=True).version == 2
    with pytest.raises(ExportError, match=r"sign_classifier 2 in .* \(43 classes instead of 3\)"):
        export_checkpoint(checkpoint, place, none)
    promote(place, "sign_classifier", 1, "")
    with pytest.raises(ExportError, match=r"sign_classifier 1 in .* \(3 classes instead of 43\)"):
        export_checkpoint(own_checkpoint, place, none)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        export_checkpoint(tmp_path / "nowhere", tmp_path, np.empty((0, 48, 48, 3), np.uint8))
