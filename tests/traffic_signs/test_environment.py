"""Libraries that would keep or send what they run are switched off before they are imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.repository import Manifest
from traffic_signs.environment import SWITCHES

ROOT = Path(__file__).parents[2]


def run(code: str, home: Path, **variables: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=home, check=True, capture_output=True, text=True
    ).stdout


def test_onnx_runtime_leaves_nothing_at_home(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    model = repository / "sign_classifier" / "1" / "model.onnx"
    code = (
        "import numpy, pathlib; from export.predictor import OnnxPredictor; "
        f"OnnxPredictor(pathlib.Path({str(model)!r}))(numpy.zeros((1, 48, 48, 3), numpy.uint8))"
    )
    run(code, tmp_path)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "module", ["export.devices", "export.speed", "export.quantization", "clients.benchmark.in_process"]
)
def test_whatever_imports_it_has_switched_it_off_before(module: str, tmp_path: Path) -> None:
    code = f"import os, {module}; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run(code, tmp_path).strip() == "1"


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    names = ", ".join(f"os.environ[{name!r}]" for name in SWITCHES)
    code = f"import os, training; print(os.environ['MLFLOW_DISABLE_TELEMETRY'], {names})"
    said = run(code, tmp_path, MLFLOW_DISABLE_TELEMETRY="false").split()
    assert said[0] == "false" and len(said) == len(SWITCHES) + 1
