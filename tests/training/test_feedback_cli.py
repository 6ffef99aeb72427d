"""Tests of feedback through the command line: it is checked, and both networks learn from it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.training.data.corrections import encoded, entry_id, sign, write_entry
from tests.training.data.textured import texture
from tests.training.signs_command import Signs
from tests.training.tiny_gtsdb import COLOURS, SCENE_SIZE, TinyGtsdb
from training.checkpoint import load_info
from training.detector import task

QUICK = ["--epochs", "1", "--batch-size", "2", "--precision", "fp32", "--device", "cpu", "--workers", "0", "--json"]


@pytest.fixture(autouse=True)
def small_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Smaller crops of scenes and fewer of them: what a run does is the same."""
    monkeypatch.setattr(task, "CROP_SIZE", 64)
    monkeypatch.setattr(task, "CROPS_A_SCENE", 2)
    yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns feedback of twelve street scenes with two signs each, and of one without."""
    folder = tmp_path / "feedback"
    classes = list(COLOURS)
    for number in range(12):
        first, second = classes[number % 4], classes[(number + 1) % 4]
        data = encoded(_scene(number, first, second), "JPEG")
        write_entry(folder, number, data, [sign(20, 20, 50, 50, first), sign(80.2, 30.4, 110, 59.9, second)], "jpg")
    write_entry(folder, 12, encoded(_scene(12)), [])
    return folder


def _scene(seed: int, *class_ids: int) -> npt.NDArray[np.uint8]:
    """Returns a noisy picture with a sign of each class in its colours, like no other, uint8 [90, 140, 3]."""
    width, height = SCENE_SIZE
    pixels = np.random.default_rng(1000 + seed).integers(90, 150, (height, width, 3), dtype=np.uint8)
    for class_id, (left, top) in zip(class_ids, ((20, 20), (80, 30)), strict=False):
        shown = texture(100 * seed + class_id, 30) // 2
        pixels[top : top + 30, left : left + 30] = shown + np.array(COLOURS[class_id], np.uint8) // 2
    return pixels


def test_check_counts_entries_signs_and_the_newest(
    folder: Path, tmp_path: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry(folder, 13, (folder / entry_id(0) / "image.jpg").read_bytes(), [sign(20, 20, 50, 50, 41)], "jpg")

    assert signs("data", "check", f"feedback={folder}", "--output", tmp_path / "report", "--json") == 0

    report = json.loads(capsys.readouterr().out)
    (facts,) = report["data_sets"]
    counts = {"total": 14, "used": 13, "superseded": 1, "repeated": 0, "left_out": 0, "newest": entry_id(13)}
    assert report["problems"] == 0 and facts["entries"] == counts
    assert facts["splits"]["train"]["signs"] == 23 and facts["splits"]["train"]["without_signs"] == 1
    assert {each["id"]: each["train"] for each in facts["classes"] if each["train"]} == {
        1: 5,
        12: 5,
        14: 6,
        38: 6,
        41: 1,
    }


def test_check_names_bad_entries_and_ends_with_code_1(
    folder: Path, tmp_path: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry(folder, 20, b"no image", [])
    write_entry(folder, 21, encoded(_scene(21)), [sign(0, 0, 999, 20, 1)])

    assert signs("data", "check", f"feedback={folder}", "--output", tmp_path / "report") == 1

    shown = capsys.readouterr().out
    assert (
        f"15 entries: 13 used, 0 corrected again later, 0 repeat other data, 2 left out, the newest used {entry_id(12)}"
        in shown
    )
    assert "entries that cannot be used: 2 (feedback=feedback)" in shown
    assert f"{entry_id(20)}: its image cannot be used: it is not an image" in shown
    assert f"{entry_id(21)}: the box of class 1 from 0,0 to 999,20 reaches outside" in shown
    assert "2 problems" in shown
    assert json.loads((tmp_path / "report" / "audit.json").read_text())["data_sets"][0]["left_out"][0] == {
        "image": entry_id(20),
        "what": "its image cannot be used: it is not an image in JPEG, PNG, PPM, WebP or BMP (8 bytes)",
    }


def test_check_of_nothing_but_bad_entries_and_of_none(
    tmp_path: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report = tmp_path / "feedback", tmp_path / "report"
    folder.mkdir()
    assert signs("data", "check", f"feedback={folder}", "--output", report) == 1
    assert "there is no feedback in" in capsys.readouterr().err
    assert not report.exists()
    write_entry(folder, 1, b"no image", [])
    assert signs("data", "check", f"feedback={folder}", "--output", report, "--json") == 1
    facts = json.loads(capsys.readouterr().out)["data_sets"][0]
    assert facts["entries"] == {
        "total": 1,
        **dict.fromkeys(("used", "superseded", "repeated"), 0),
        "left_out": 1,
        "newest": None,
    }


def test_classifier_learns_from_all_kinds_together(
    gtsdb: TinyGtsdb, folder: Path, runs: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry(folder, 20, (gtsdb.folder / "00600.jpg").read_bytes(), [sign(20, 20, 44, 44, 12)], "jpg")
    write_entry(folder, 21, b"no image", [])
    data = ["--data", f"gtsdb={gtsdb.folder}", "--data", f"feedback={folder}", "--data", "synthetic=4"]

    assert signs("train", "classifier", *data, "--runs", runs, "--name", "all", "--holdout", "0.3", *QUICK) == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert "gtsdb_test_accuracy" in result["metrics"] and "temperature" in result["metrics"]
    facts = load_info(Path(result["checkpoint"])).data
    assert facts["name"] == "gtsdb=FullIJCNN2013, feedback=feedback, synthetic=4" and facts["free_of"] == "gtsdb"
    assert (
        f"show test images or signs of gtsdb=FullIJCNN2013 are left out: 1, such as {entry_id(20)}; --keep"
        in captured.err
    )
    assert f"{entry_id(21)} is left out: its image cannot be used" in captured.err
    evaluated = ["evaluate", result["checkpoint"], "--data", f"feedback={folder}"]
    assert signs(*evaluated, "--split", "train", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["samples"] == 25 and "training signs" in figures["notices"][-1]
    assert signs(*evaluated) == 1
    assert "has only training data" in capsys.readouterr().err


def test_classifier_learns_from_feedback_alone(
    folder: Path, runs: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", f"feedback={folder}", "--runs", runs, "--name", "alone"]

    assert signs("train", "classifier", *arguments, *QUICK[:-1]) == 0

    captured = capsys.readouterr()
    assert "no training sign shows 39 of the 43 classes, so that they are not learned: 0, 2," in captured.err
    next_step = next(line for line in captured.out.splitlines() if line.startswith("next: "))
    assert "--data" not in next_step  # feedback has no test images to prove parity on


def test_detector_learns_from_both_and_is_evaluated_on_the_benchmark(
    gtsdb: TinyGtsdb, folder: Path, runs: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry(folder, 20, (gtsdb.folder / "00600.jpg").read_bytes(), [], "jpg")
    arguments = ["--data", f"feedback={folder}", "--data", f"gtsdb={gtsdb.folder}", "--runs", runs, *QUICK]

    assert signs("train", "detector", *arguments, "--name", "both") == 0

    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert {"validation_map50", "gtsdb_test_map50"} <= result["metrics"].keys()
    facts = load_info(Path(result["checkpoint"])).data
    assert facts["name"] == "feedback=feedback, gtsdb=FullIJCNN2013" and facts["free_of"] == "gtsdb"
    assert (
        "note: feedback=feedback: entries that show test images or signs of gtsdb=FullIJCNN2013 are left out: 1"
        in captured.err
    )
    assert signs("train", "detector", *arguments, "--name", "kept", "--holdout", "0", "--keep-leaked") == 0
    kept = load_info(Path(json.loads(capsys.readouterr().out)["checkpoint"])).data
    assert kept["free_of"] == "" and kept["fingerprint"] != facts["fingerprint"]


def test_detector_learns_from_feedback_alone_or_says_why_not(
    folder: Path, runs: Path, tmp_path: Path, signs: Signs, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(name: str, data: Path, *more: str) -> int:
        return signs("train", "detector", "--data", f"feedback={data}", "--runs", runs, "--name", name, *QUICK, *more)

    assert train("alone", folder, "--holdout", "0") == 0
    assert "signs evaluate" in capsys.readouterr().err
    few, empty, unwatched = tmp_path / "few", tmp_path / "empty", tmp_path / "unwatched"
    for number in range(12):
        write_entry(empty, number, encoded(_scene(number)), [])
        write_entry(unwatched, number, encoded(_scene(number, 12)), [sign(20, 20, 50, 50, 12)])
    write_entry(few, 1, encoded(_scene(1, 1)), [sign(20, 20, 50, 50, 1)])
    for name, data, message in (
        ("few", few, "1 tracks or images, which cannot be divided into 10 parts: give more data"),
        ("empty", empty, "has no signs to learn from (it has 12 pictures that can be used): give a benchmark as well"),
        ("unwatched", unwatched, "the 2 held-out scenes show no prohibitory, mandatory or danger sign"),
    ):
        assert train(name, data) == 1
        assert message in capsys.readouterr().err
        assert not (runs / name).exists()
