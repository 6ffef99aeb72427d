"""`signs predict` against a real tritonserver."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.server import RunningServer
from tests.end_to_end.street import boxes_of, encode, street

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]


def predict(server: RunningServer, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from clients.cli import main; main()", "predict", "--url", server.grpc_url]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    """Two photographs of the same name in two folders, with and without signs."""
    paths = [tmp_path / "one" / "street.png", tmp_path / "two" / "street.png"]
    for path, cells in zip(paths, (CELLS, []), strict=True):
        path.parent.mkdir()
        path.write_bytes(encode(street(cells)))
    return paths


def test_json_holds_boxes_names_and_scores(recognizer_server: RunningServer, photographs: list[Path]) -> None:
    result = predict(recognizer_server, *photographs, "--json")
    assert result.returncode == 0, result.stderr
    found, empty = json.loads(result.stdout)
    assert [found["image"], empty["image"]] == list(map(str, photographs))
    assert empty["signs"] == []
    assert {tuple(sign["box"]) for sign in found["signs"]} == boxes_of(CELLS)
    for sign in found["signs"]:
        assert set(sign) == {"box", "score", "category", "class_id", "class_score", "name"}


def test_the_table_names_signs_and_pictures_without(recognizer_server: RunningServer, photographs: list[Path]) -> None:
    result = predict(recognizer_server, *photographs)
    assert result.returncode == 0, result.stderr
    assert "no sign" in result.stdout and "100.0%" in result.stdout


def test_copies_show_the_signs_and_the_originals_stay(
    recognizer_server: RunningServer, photographs: list[Path], tmp_path: Path
) -> None:
    before = [path.read_bytes() for path in photographs]
    result = predict(recognizer_server, *photographs, "--annotate", tmp_path / "found" / "here", "--json")
    assert result.returncode == 0, result.stderr
    copies = [Path(answer["annotated"]) for answer in json.loads(result.stdout)]
    assert [path.read_bytes() for path in photographs] == before
    assert sorted(copies) == sorted((tmp_path / "found" / "here").iterdir())
    drawn = [np.asarray(Image.open(copy).convert("RGB"), dtype=int) for copy in copies]
    difference = np.abs(drawn[0] - np.asarray(street(CELLS), dtype=int)).max(axis=2)
    assert difference[78:80, 90:110].min() > 60 > np.median(difference), "a frame above the first sign"


def test_unreadable_pictures_are_named_and_the_others_answered(
    recognizer_server: RunningServer, photographs: list[Path], tmp_path: Path
) -> None:
    text, missing = tmp_path / "text.jpg", tmp_path / "[bold]missing.jpg"
    text.write_text("not a picture")
    result = predict(recognizer_server, text, photographs[0], missing, tmp_path, "--json", "--annotate", tmp_path / "x")
    assert result.returncode == 1
    answers = json.loads(result.stdout)
    assert ["error" in answer for answer in answers] == [True, False, True, True]
    assert len(answers[1]["signs"]) == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("signs: ") for line in lines)
    assert "not an image" in lines[0] and "No such file" in lines[1] and "directory" in lines[2]
    table = predict(recognizer_server, missing)
    assert table.returncode == 1 and "[bold]" in table.stdout.replace("\n", "") and "not read" in table.stdout


def test_the_threshold_is_passed_on(recognizer_server: RunningServer, photographs: list[Path]) -> None:
    result = predict(recognizer_server, photographs[1], "--threshold", "0", "--json")
    assert len(json.loads(result.stdout)[0]["signs"]) == 100


def test_a_server_without_a_recognizer_says_how_to_get_one(server: RunningServer, photographs: list[Path]) -> None:
    result = predict(server, *photographs)
    assert result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1
    assert "signs export recognizer" in result.stderr and "--crops" in result.stderr


def test_another_kind_of_model_is_refused(recognizer_server: RunningServer, photographs: list[Path]) -> None:
    result = predict(recognizer_server, photographs[0], "--model", "sign_classifier")
    assert result.returncode == 1 and "it is not a sign recognizer" in result.stderr
