"""The client's distribution in an environment where nothing else of the project is, asking a real tritonserver."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from serving.server import RunningServer

PROJECT = Path(__file__).parents[2] / "clients" / "python"
ASK = """
import importlib.util, json, sys
import numpy as np
from traffic_sign_client import SignClient

crops = np.load(sys.argv[3])
with SignClient(sys.argv[1], sys.argv[2]) as client:
    best = [row[0].class_id for row in client.classify(crops)]
others = ["traffic_signs", "training", "export", "serving", "clients", "PIL", "typer", "rich"]
print(json.dumps({"best": best, "found": [name for name in others if importlib.util.find_spec(name)]}))
"""

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the Python of an environment that has the client's distribution alone."""
    environment = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", PROJECT], check=True, capture_output=True, timeout=240)
    return python


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_it_asks_without_the_rest_of_the_project(
    python: Path, protocol: str, server: RunningServer, random_crops: npt.NDArray[np.uint8], tmp_path: Path
) -> None:
    np.save(tmp_path / "crops.npy", random_crops[:3])
    url = server.grpc_url if protocol == "grpc" else server.http_url

    result = subprocess.run(
        [python, "-c", ASK, url, protocol, tmp_path / "crops.npy"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )

    answer = json.loads(result.stdout)
    assert len(answer["best"]) == 3 and answer["found"] == []
