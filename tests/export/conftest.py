"""Networks of random weights as ONNX in fp32, converted once for all tests of export, and data to evaluate them on."""

from pathlib import Path

import pytest

from export.conversion import Simplification, convert
from tests.fixture_types import Once
from tests.training.tiny_gtsdb import write_tiny_gtsdb
from training.checkpoint import load_checkpoint


@pytest.fixture(scope="session")
def converted(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Simplification]:
    """The classifier as an ONNX file, and what simplification saved."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return path, convert(*load_checkpoint(checkpoint), path)


@pytest.fixture(scope="session")
def classifier_onnx(converted: tuple[Path, Simplification]) -> Path:
    """The classifier as an ONNX file."""
    return converted[0]


@pytest.fixture(scope="session")
def detector_onnx(once: Once, detector_checkpoint: Path) -> Path:
    """The detector of scenes of 96x160 pixels as an ONNX file."""
    made = once("detector", lambda folder: convert(*load_checkpoint(detector_checkpoint), folder / "model.onnx"))
    return made / "model.onnx"


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A drawn GTSDB, as `--data` takes it: 8 signs in 4 training scenes, 3 signs in 2 test scenes of 140x90 pixels."""
    return f"gtsdb={write_tiny_gtsdb(tmp_path_factory.mktemp('data')).folder}"
