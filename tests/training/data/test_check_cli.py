"""Tests of `signs data check` and of the report that it leaves."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from tests.training.data.textured import leak, write_scenes, write_tracks
from tests.training.signs_command import Signs
from training.data.audit import audit
from training.data.audit_plots import draw_contact_sheet
from training.data.gtsdb import load_gtsdb

PICTURES = {"contact_sheet.png", "sizes.png", "classes.png"}


@pytest.fixture
def check(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> Signs:
    """Returns a function that runs `signs data check ARGUMENTS` on a narrow terminal."""
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *arguments: signs("data", "check", *arguments)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "new" / "report"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_whole_data_set_ends_with_code_0_and_leaves_report_and_pictures(
    check: Signs, scenes: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(scenes, "--output", output) == 0

    captured = capsys.readouterr()
    assert "gtsdb=FullIJCNN2013 train" in " ".join(captured.out.split())
    assert "no problems" in captured.out
    assert str(output / "contact_sheet.png") in captured.out.replace("\n", "")
    assert "reading gtsdb=FullIJCNN2013: 3 of 3" in captured.err
    assert files(output) == {"audit.json", *PICTURES}
    for name in PICTURES:
        with Image.open(output / name) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 200
        assert (pixels == 255).all(axis=2).mean() > 0.1
        assert (pixels != 255).any(axis=2).mean() > 0.01
    assert plt.get_fignums() == []


def test_broken_image_ends_with_code_1_after_the_report(
    check: Signs, scenes: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scenes / "00001.png").write_bytes(b"text")

    assert check(scenes, "--output", output) == 1

    captured = capsys.readouterr()
    assert "00001.png: it is not an image" in captured.out
    assert "1 problem: fix it" in captured.out
    assert not any(line.startswith("signs: ") for line in captured.err.splitlines())
    assert files(output) == {"audit.json", *PICTURES}


def test_no_more_than_ten_examples_of_a_problem_are_printed(
    check: Signs, scenes: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(100, 113):
        (scenes / f"{number:05}.png").write_text(f"text {number}")

    assert check(scenes, "--output", output) == 1

    out = capsys.readouterr().out
    assert "broken images: 13 (gtsdb=FullIJCNN2013)" in out
    assert "00109.png" in out
    assert "00110.png" not in out
    assert "and 3 more" in out
    assert len(json.loads((output / "audit.json").read_text())["data_sets"][0]["broken"]) == 13


def test_json_alone_is_on_stdout_and_holds_everything(
    check: Signs, scenes: Path, tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = write_tracks(tmp_path)
    track = leak(scenes, tracks, 9)

    assert check(f"gtsdb={scenes}", f"gtsrb={tracks}", "--output", output, "--json") == 0

    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report == json.loads((output / "audit.json").read_text())
    assert report["problems"] == 0
    assert [each["name"] for each in report["data_sets"]] == ["gtsdb=FullIJCNN2013", "gtsrb=GTSRB"]
    assert report["data_sets"][1]["classes"][9] == {"id": 9, "name": "no overtaking", "train": 2, "test": 1}
    assert report["data_sets"][0]["splits"]["train"]["long_sides"] == {"32": 43}
    (leaked,) = [each for each in report["leakage"] if each["repeats"]]
    assert (leaked["train"], leaked["test"], leaked["images"]) == ("gtsrb=GTSRB", "gtsdb=FullIJCNN2013", 2)
    assert leaked["tracks"] == [track]
    assert leaked["repeats"][0]["test_image"] == "00600.png"
    assert leaked["repeats"][0]["train_image"] == f"Train/9/{track}_00001.jpg"
    assert "comparing training with test signs" in captured.err
    assert files(output) == {"audit.json", "leakage.png", *PICTURES}


def test_leakage_is_printed_for_people(
    check: Signs, scenes: Path, tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = write_tracks(tmp_path)
    leak(scenes, tracks, 9)

    assert check(scenes, tracks, "--output", output) == 0

    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "gtsrb gtsdb 1 of 43 (2.3%) 1 2" in rows
    assert "gtsdb gtsrb 0 of 43 (0.0%) 0 0" in rows
    assert any("--keep-leaked" in row for row in rows) and not any("from the same data set" in row for row in rows)


def test_what_training_does_with_repeats_inside_of_a_data_set_is_said(
    check: Signs, scenes: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scenes / "00600.png").write_bytes((scenes / "00000.png").read_bytes())

    assert check(scenes, "--output", output) == 0

    out = capsys.readouterr().out
    assert "from the same data set" in out and "--keep-leaked" not in out


def test_picture_of_an_earlier_check_does_not_stay(check: Signs, scenes: Path, output: Path) -> None:
    output.mkdir(parents=True)
    (output / "leakage.png").write_text("of an earlier check")

    assert check(scenes, "--output", output) == 0

    assert files(output) == {"audit.json", *PICTURES}


def test_same_data_give_the_same_contact_sheet(scenes: Path, tmp_path: Path) -> None:
    for name in "ab":
        draw_contact_sheet(audit([load_gtsdb(scenes)]), tmp_path / name / "contact_sheet.png")

    assert (tmp_path / "a" / "contact_sheet.png").read_bytes() == (tmp_path / "b" / "contact_sheet.png").read_bytes()


def test_data_set_without_any_label_is_reported(check: Signs, tmp_path: Path, output: Path) -> None:
    folder = write_scenes(tmp_path).rename(tmp_path / "TestIJCNN2013Download")
    for name in ("gt.txt", "00600.png"):
        (folder / name).unlink()

    assert check(f"gtsdb={folder}", "--output", output) == 0

    (facts,) = json.loads((output / "audit.json").read_text())["data_sets"]
    assert facts["splits"]["test"]["signs"] == 0
    assert facts["splits"]["test"]["unlabelled"] == 2


def test_names_are_shown_as_they_are(
    check: Signs, tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "[red]" / "[bold] $x^{$", tmp_path / "[red]" / "other"
    first.parent.mkdir()
    write_scenes(tmp_path).rename(first)
    write_scenes(tmp_path).rename(second)
    (second / "00600.png").write_bytes((first / "00000.png").read_bytes())

    assert check(f"gtsdb={first}", f"gtsdb={second}", "--output", output) == 0

    out = capsys.readouterr().out
    assert (
        len(re.findall(r"gtsdb=\[bold\] \$x\^\{\$ +train", out)) >= 4
    )  # in the counts, the rarest classes and the duplicates
    assert "gtsdb=[bold] $x^{$ gtsdb=other" in " ".join(out.split())  # in the comparisons
    assert files(output) == {"audit.json", "leakage.png", *PICTURES}


def test_data_set_that_cannot_be_read_is_one_line_and_leaves_nothing(
    check: Signs, tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.zip").write_text("text")

    assert check(f"gtsdb={tmp_path / 'data.zip'}", "--output", output) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "is not a whole zip archive" in captured.err
    assert not output.exists()


def test_output_that_is_a_file_is_one_line_before_anything_is_read(
    check: Signs, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report").write_text("mine")

    assert check(scenes, "--output", tmp_path / "report") == 1

    captured = capsys.readouterr()
    assert captured.err.startswith("signs: ")
    assert captured.err.count("\n") == 1
    assert (tmp_path / "report").read_text() == "mine"


def test_no_path_ends_with_code_2(check: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert check() == 2
    assert "PATH" in capsys.readouterr().err


def test_help_shows_examples(check: Signs, capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--help") == 0
    assert "signs data check gtsrb=GTSRB gtsdb=FullIJCNN2013 --output runs/both" in capsys.readouterr().out
