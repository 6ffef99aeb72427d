"""How answers are printed: whole where all went well, and complete up to a problem where not."""

import csv
import io
import json
from typing import Any

import pytest

from clients.command.prediction_output import Form, printing

SIGN = {
    "box": (1.0, 2.5, 30.0, 40.0),
    "score": 0.75,
    "category": "danger",
    "class_id": 14,
    "class_score": 0.5,
    "name": 'stop, "now"',
}
STREET: dict[str, Any] = {"image": "[bold]street.jpg", "signs": [SIGN, {**SIGN, "class_id": 1}]}
EMPTY: dict[str, Any] = {"image": "empty.jpg", "signs": []}
FRAME: dict[str, Any] = {"image": "drive.mp4", "frame": 3, "signs": [SIGN], "annotated": "found/drive.mp4"}
BARE: dict[str, Any] = {"image": "drive.mp4", "frame": 4, "signs": [], "annotated": "found/drive.mp4"}
BAD: dict[str, Any] = {"image": "text.jpg", "error": "it is not an image"}
CROP: dict[str, Any] = {
    "image": "sign.png",
    "predictions": [{"class_id": 14, "name": "stop", "score": 0.9}, {"class_id": 1, "name": "limit", "score": 0.1}],
}


def printed(form: Form, results: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> str:
    with printing(form) as show:
        for result in results:
            show(result)
    return capsys.readouterr().out


@pytest.mark.parametrize("results", [[STREET], [STREET, EMPTY, BAD, FRAME], [CROP, BAD]])
def test_json_is_one_list(results: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed("json", results, capsys)) == json.loads(json.dumps(results))


def test_csv_has_a_header_and_a_row_for_each_sign(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("csv", [BAD, EMPTY, STREET, FRAME, BARE], capsys)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.startswith("file,frame,left,top,right,bottom,score,category,class_id,class_score,name\n")
    assert [(row["file"], row["frame"], row["class_id"]) for row in rows] == [
        ("[bold]street.jpg", "", "14"),
        ("[bold]street.jpg", "", "1"),
        ("drive.mp4", "3", "14"),
    ]
    assert [float(rows[0][side]) for side in ("left", "top", "right", "bottom")] == [1.0, 2.5, 30.0, 40.0]
    assert (rows[0]["score"], rows[0]["name"]) == ("0.75", 'stop, "now"')


def test_csv_of_crops_has_a_row_for_each_class(capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.reader(io.StringIO(printed("csv", [BAD, CROP], capsys))))
    assert rows == [
        ["file", "rank", "class_id", "name", "score"],
        ["sign.png", "1", "14", "stop", "0.9"],
        ["sign.png", "2", "1", "limit", "0.1"],
    ]


def test_the_table_leaves_out_frames_without_a_sign(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("table", [STREET, EMPTY, BAD, FRAME, BARE], capsys)
    assert "[bold]street.jpg" in text and "no sign" in text and "not read" in text
    assert "drive.mp4 frame 3" in text and "frame 4" not in text
    assert text.count("look: found/drive.mp4") == 1


def test_the_table_of_crops_shows_the_other_classes(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("table", [CROP, BAD], capsys)
    assert "stop (14)" in text and "90.0%" in text and "limit 10.0%" in text and "not read" in text


def test_a_camera_has_a_line_for_each_sign(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("lines", [FRAME, BARE], capsys)
    assert text == 'drive.mp4 frame 3: stop, "now" (14) 50.0% at 1, 2, 30, 40\n'


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_what_was_answered_before_a_problem_is_printed(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), printing(form) as show:
        show(STREET)
        raise KeyboardInterrupt
    text = capsys.readouterr().out
    assert "street.jpg" in text
    if form == "json":
        assert len(json.loads(text)) == 1


@pytest.mark.parametrize("form", ["table", "json", "csv", "lines"])
def test_where_nothing_was_answered_nothing_is_printed(form: Form, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(form, [], capsys) == ""
