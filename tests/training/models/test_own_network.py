"""docs/your-own-model.md as it is written: one file adds an architecture, which trains and is exported."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.predictor import OnnxPredictor
from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import TinyGtsdb
from training.errors import TrainingError
from training.models import networks
from training.models.backbones import architectures, build_backbone

PAGE = Path(__file__).parents[3] / "docs" / "your-own-model.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Returns a folder whose files are architectures, too."""
    place = tmp_path / "networks"
    place.mkdir()
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(place)])
    known = set(sys.modules)
    yield place
    for name in set(sys.modules) - known:
        if name.startswith(f"{networks.__name__}."):
            del sys.modules[name]


def test_the_file_of_the_page_trains_and_is_exported(
    folder: Path, gtsdb: TinyGtsdb, runs: Path, tmp_path: Path, run_signs: Signs
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (folder / "tiny.py").write_text(code)
    assert "tiny" in architectures()

    quick = ("--epochs", 1, "--batch-size", 4, "--holdout", 0, "--device", "cpu", "--precision", "fp32", "--workers", 0)
    data = f"gtsdb={gtsdb.folder}"
    assert (
        run_signs(
            "train", "classifier", "--data", data, "--architecture", "tiny", "--runs", runs, "--name", "tiny", *quick
        )
        == 0
    )
    models = tmp_path / "models"
    assert run_signs("export", "onnx", runs / "tiny" / "checkpoint", "--data", data, "--repository", models) == 0
    network = OnnxPredictor(models / "sign_classifier" / "1" / "model.onnx")
    assert network(np.zeros((2, 48, 48, 3), np.uint8))["probabilities"].shape == (2, 43)


def test_a_file_without_build_names_the_page(folder: Path) -> None:
    (folder / "empty.py").write_text("")
    with pytest.raises(TrainingError, match=r"defines no build.*your-own-model\.md"):
        build_backbone("empty", 43)
