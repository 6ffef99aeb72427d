"""The notebooks of examples/, cell after cell in a process of its own; Jupyter itself is not needed for that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.install import Installation

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.glob("examples/*.ipynb"))


def cells(notebook: Path) -> list[str]:
    content = json.loads(notebook.read_text())
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def run(notebook: Path, folder: Path, **variables: str) -> str:
    """Runs the code of a notebook in an empty folder and returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", "\n\n".join(cells(notebook))],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": f"{ROOT}:{ROOT / 'clients/python'}"} | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_notebooks_are_committed_without_output() -> None:
    assert NOTEBOOKS
    for notebook in NOTEBOOKS:
        content = json.loads(notebook.read_text())
        assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in content["cells"])


def test_a_look_at_the_data(tmp_path: Path) -> None:
    out = run(ROOT / "examples/look-at-the-data.ipynb", tmp_path)
    assert "problems: 0" in out and (tmp_path / "audit" / "contact_sheet.png").is_file()


@pytest.mark.end_to_end
def test_own_classes_are_served(tmp_path: Path, installation: Installation) -> None:
    home = ROOT / ".tritonserver"
    out = run(ROOT / "examples/own-classes.ipynb", tmp_path, EPOCHS="2", SIGNS_HOME=str(home))
    assert "('disc', 'square', 'triangle')" in out and out.count(", named ") == 5
    assert "served: ['disc', 'square', 'triangle']" in out
