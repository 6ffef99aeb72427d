"""`signs predict` against a real tritonserver."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.server import RunningServer
from tests.end_to_end.street import boxes_of, encode, street
from tests.slow_recognizer import asked, wait_until_noted
from traffic_signs.video import VideoCopy, read_frames

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]


COMMAND = [sys.executable, "-c", "from clients.command.main import main; main()", "predict"]


def predict(server: RunningServer, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, "--url", server.grpc_url, *map(str, arguments)]
    # Wide, as long paths would else be broken in the table.
    environment = os.environ | {"COLUMNS": "400"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


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
    text, missing, empty = tmp_path / "text.jpg", tmp_path / "[bold]missing.jpg", tmp_path / "empty"
    text.write_text("not a picture")
    empty.mkdir()
    result = predict(recognizer_server, text, photographs[0], missing, empty, "--json", "--annotate", tmp_path / "x")
    assert result.returncode == 1
    answers = json.loads(result.stdout)
    assert ["error" in answer for answer in answers] == [True, False, True, True]
    assert len(answers[1]["signs"]) == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 3 and all(line.startswith("signs: ") for line in lines)
    assert "not an image" in lines[0] and "no file matches the pattern" in lines[1] and "holds no picture" in lines[2]
    table = predict(recognizer_server, missing)
    assert table.returncode == 1 and "[bold]" in table.stdout.replace("\n", "") and "not read" in table.stdout


def test_folders_and_patterns_give_a_csv_row_for_each_sign(
    recognizer_server: RunningServer, photographs: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "two" / "notes.txt").write_text("x")
    result = predict(recognizer_server, tmp_path, f"{tmp_path}/o*/*.png", "--csv", "--concurrency", 2)
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["file"] for row in rows] == [str(photographs[0])] * 4
    found = [tuple(float(row[side]) for side in ("left", "top", "right", "bottom")) for row in rows]
    assert set(found[:2]) == set(found[2:]) == boxes_of(CELLS)
    assert all(row["frame"] == "" and row["name"] and float(row["score"]) == 1 for row in rows)


def test_a_video_is_answered_frame_by_frame_and_copied(recognizer_server: RunningServer, tmp_path: Path) -> None:
    scenes = [np.asarray(street([(column, 3)])) for column in range(12)]
    with VideoCopy(tmp_path / "drive.mp4") as video:
        for scene in scenes:
            video.add(scene, 20.0)
    command = (recognizer_server, tmp_path / "drive.mp4", "--annotate", tmp_path / "found", "--frames", 10)

    result = predict(*command, "--json")

    assert result.returncode == 0, result.stderr
    answers = json.loads(result.stdout)
    assert [answer["frame"] for answer in answers] == list(range(10))
    for column, answer in enumerate(answers):
        assert {tuple(sign["box"]) for sign in answer["signs"]} == boxes_of([(column, 3)])
    (copy,) = (tmp_path / "found").iterdir()
    assert {answer["annotated"] for answer in answers} == {str(copy)}
    frames = list(read_frames(copy))
    assert [frame.rate for frame in frames] == [20.0] * 10
    difference = np.abs(frames[5].pixels.astype(int) - scenes[5]).max(axis=2)
    assert difference[118:120, 210:230].min() > 40 > np.median(difference), "a frame above the sign"
    rows = list(csv.DictReader(io.StringIO(predict(*command, "--csv").stdout)))
    assert [row["frame"] for row in rows] == [str(number) for number in range(10)]


def test_crops_that_cannot_be_read_are_named_and_the_others_classified(
    server: RunningServer, photographs: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    result = predict(server, photographs[0], tmp_path / "text.png", photographs[1], "--crops", "--json", "--top", 2)
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and "not an image" in result.stderr
    answers = json.loads(result.stdout)
    assert ["error" in answer for answer in answers] == [False, True, False]
    assert all(len(answers[place]["predictions"]) == 2 for place in (0, 2))


def test_who_stops_it_keeps_what_was_answered(
    slow_server: RunningServer, slow_repository: Path, tmp_path: Path
) -> None:
    """The second photograph keeps the recognizer busy while Ctrl-C is pressed."""
    asked(slow_repository, "sign_recognizer")
    for name, content in (("a.jpg", "0 first"), ("b.jpg", "2 second")):
        (tmp_path / name).write_text(content)
    command = [*COMMAND, "--url", slow_server.grpc_url, str(tmp_path), "--json", "--concurrency", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_noted(slow_repository, "sign_recognizer", "second begun")
        process.send_signal(signal.SIGINT)
        answered, problem = process.communicate()
    assert process.returncode == 130 and problem == "signs: stopped\n"
    (answer,) = json.loads(answered)
    assert answer["image"] == str(tmp_path / "a.jpg") and answer["signs"][0]["name"] == "first"


def test_a_server_that_goes_away_leaves_what_was_answered(slow_server: RunningServer, tmp_path: Path) -> None:
    """Its answer to the second photograph comes too late, which is as good as none."""
    for name, content in (("a.jpg", "0 first"), ("b.jpg", "2 second")):
        (tmp_path / name).write_text(content)
    for form in ("--json", "--csv", None):
        options = ["--concurrency", 1, "--timeout", 1.5, *([form] if form else [])]
        result = predict(slow_server, tmp_path, *options)
        assert result.returncode == 1 and result.stderr.count("\n") == 1
        assert "no answer from" in result.stderr
        assert "first" in result.stdout and "second" not in result.stdout


def test_many_pictures_have_a_bar_on_a_terminal(slow_server: RunningServer, tmp_path: Path) -> None:
    """A terminal stands behind standard error alone: what is printed on standard output stays as it is."""
    for number in range(12):
        (tmp_path / f"{number:02d}.jpg").write_text(f"0 {number}")
    master, terminal = pty.openpty()
    try:
        command = [*COMMAND, "--url", slow_server.grpc_url, str(tmp_path), "--csv"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, check=False)
        shown = os.read(master, 1 << 16).decode()
    finally:
        os.close(master)
        os.close(terminal)
    assert result.returncode == 0
    assert [row["name"] for row in csv.DictReader(io.StringIO(result.stdout))] == [str(number) for number in range(12)]
    assert "12/12" in shown
    quiet = predict(slow_server, tmp_path, "--csv")
    assert quiet.stdout == result.stdout and quiet.stderr == ""


def test_the_threshold_is_passed_on(recognizer_server: RunningServer, photographs: list[Path]) -> None:
    result = predict(recognizer_server, photographs[1], "--score-threshold", "0", "--json")
    assert len(json.loads(result.stdout)[0]["signs"]) == 100


def test_a_server_without_a_recognizer_says_how_to_get_one(server: RunningServer, photographs: list[Path]) -> None:
    result = predict(server, *photographs)
    assert result.returncode == 1 and len(result.stderr.strip().splitlines()) == 1
    assert "signs export recognizer" in result.stderr and "--crops" in result.stderr
    assert "it is not a sign recognizer" not in result.stderr


def test_another_kind_of_model_is_refused(recognizer_server: RunningServer, photographs: list[Path]) -> None:
    result = predict(recognizer_server, photographs[0], "--model", "sign_classifier")
    assert result.returncode == 1 and "it is not a sign recognizer" in result.stderr
