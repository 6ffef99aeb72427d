"""Tests that feedback which repeats a benchmark is left out: test pictures, and training pictures."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.corrections import encoded, entry_id, sign, write_entry
from tests.training.data.textured import BORDER, SIGN, TILE, texture, tile, write_scenes, write_tracks
from traffic_signs.progress import silent
from training.data.dataset_mix import gather_crops
from training.data.feedback import entry_of, load_feedback
from training.data.gtsdb import load_gtsdb
from training.data.gtsrb import load_gtsrb
from training.data.records import Dataset, Drawings
from training.data.repeats import without_repeats
from training.errors import DataError


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns feedback of one picture that nobody else has, with a sign of class 3."""
    folder = tmp_path / "feedback"
    write_entry(folder, 1, encoded(texture(77, 200)), [sign(30, 30, 90, 90, 3)])
    return folder


def kept(data_sets: Sequence[Dataset], keep_leaked: bool = False) -> list[str]:
    """Returns the entries of the last data set that are learned from."""
    return [entry_of(sample) for sample in without_repeats(data_sets, keep_leaked)[-1].samples]


def test_test_picture_is_left_out_whoever_has_encoded_it_and_whatever_is_labelled(scenes: Path, folder: Path) -> None:
    data = (scenes / "00600.png").read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        half = np.asarray(picture.convert("RGB").resize((140, 140)))
    write_entry(folder, 2, data, [])  # the very bytes, corrected to nothing
    write_entry(folder, 3, encoded(half, "JPEG"), [sign(60, 60, 100, 100, 40)], "jpg")  # another size, wrongly labelled
    (gtsdb, feedback) = without_repeats([load_gtsdb(scenes), load_feedback(folder)], keep_leaked=False)

    assert [entry_of(sample) for sample in feedback.samples] == [entry_id(1)]
    assert gtsdb.samples == load_gtsdb(scenes).samples
    (notice,) = feedback.notices
    assert notice.startswith(
        "entries that show test images or signs of gtsdb=FullIJCNN2013 are left out: 2, such as 2026"
    )
    assert kept([load_gtsdb(scenes), load_feedback(folder)], keep_leaked=True) == [entry_id(n) for n in (1, 2, 3)]


def test_picture_of_a_test_sign_is_left_out_and_of_a_training_sign_is_not(scenes: Path, folder: Path) -> None:
    left, top = tile(9)
    for number, scene in ((2, "00600.png"), (3, "00000.png")):
        cut = np.full((100, 200, 3), (90, 120, 160), np.uint8)
        with Image.open(scenes / scene) as picture:
            cut[20 : 20 + TILE, 40 : 40 + TILE] = np.asarray(picture.convert("RGB"))[
                top : top + TILE, left : left + TILE
            ]
        corners = (40 + BORDER, 20 + BORDER, 40 + BORDER + SIGN, 20 + BORDER + SIGN)
        write_entry(folder, number, encoded(cut, "JPEG"), [sign(*corners, 9)], "jpg")

    assert kept([load_gtsdb(scenes), load_feedback(folder)]) == [entry_id(1), entry_id(3)]


def test_picture_of_gtsrb_is_compared_as_well(tmp_path: Path, folder: Path) -> None:
    tracks = write_tracks(tmp_path)
    write_entry(folder, 2, (tracks / "Test" / "00007.png").read_bytes(), [sign(0, 0, 40, 40, 8)])

    assert kept([load_gtsrb(tracks), load_feedback(folder)]) == [entry_id(1)]


def test_training_picture_keeps_the_labels_of_the_benchmark(scenes: Path, folder: Path) -> None:
    write_entry(folder, 2, (scenes / "00000.png").read_bytes(), [sign(0, 0, 40, 40, 8)])

    data = gather_crops([load_gtsdb(scenes), load_feedback(folder)], 24, 0, True, silent)

    assert len(data.train) == 43 + 1
    assert any(
        "entries that repeat training images of gtsdb=FullIJCNN2013, whose own labels count, are left out: 1" in notice
        for notice in data.notices
    )


def test_of_two_folders_the_newer_correction_counts(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    write_entry(folder, 5, encoded(texture(5)), [sign(0, 0, 40, 40, 5)])
    write_entry(other, 4, encoded(texture(5)), [sign(0, 0, 40, 40, 4)])
    write_entry(other, 6, encoded(texture(77, 200)), [])
    first, second = without_repeats([load_feedback(folder), load_feedback(other)], keep_leaked=False)

    assert [entry_of(sample) for sample in first.samples] == [entry_id(5)]
    assert [entry_of(sample) for sample in second.samples] == [entry_id(6)]
    same = without_repeats([load_feedback(folder), load_feedback(folder)], keep_leaked=False)
    assert [len(dataset.samples) for dataset in same] == [0, 2]


def test_without_feedback_nothing_is_read(scenes: Path) -> None:
    gtsdb = load_gtsdb(scenes)
    for image in scenes.glob("*.png"):
        image.unlink()

    assert without_repeats([gtsdb], keep_leaked=False) == [gtsdb]


def test_classifier_learns_from_benchmark_feedback_and_drawings(scenes: Path, folder: Path) -> None:
    write_entry(folder, 2, (scenes / "00600.png").read_bytes(), [sign(4, 4, 36, 36, 0)])
    write_entry(folder, 3, encoded(texture(3)), [])
    write_entry(folder, 4, b"no image", [])
    sources: list[Dataset | Drawings] = [load_feedback(folder), Drawings(5), load_gtsdb(scenes)]

    data = gather_crops(sources, 24, 0, False, silent)

    assert data.name == "feedback=feedback, synthetic=5, gtsdb=FullIJCNN2013"
    assert len(data.train) == 1 + 5 + 43 and list(data.tests) == ["gtsdb"] and data.free_of == ("gtsdb",)
    assert data.train.sources[0] == f"0-feedback/{entry_id(1)}/image.png"
    assert [notice.partition(": ")[0] for notice in data.notices] == ["feedback=feedback"] * 3
    assert data.train.fingerprint != gather_crops(sources[1:], 24, 0, False, silent).train.fingerprint


def test_feedback_alone_reports_what_it_does_not_show_and_one_class_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="all signs of the feedback are of one class: give other data as well"):
        gather_crops([load_feedback(folder)], 24, 0, False, silent)
    write_entry(folder, 2, encoded(texture(2)), [sign(0, 0, 40, 40, 4)])

    data = gather_crops([load_feedback(folder)], 24, 0, False, silent)

    assert (len(data.train), data.tests, data.free_of) == (2, {}, ())
    (notice,) = data.notices
    assert notice.startswith("no training sign shows 41 of the 43 classes")


def test_feedback_that_teaches_nothing_is_refused_with_what_was_left_out(tmp_path: Path) -> None:
    write_entry(tmp_path, 1, encoded(texture(1)), [])
    write_entry(tmp_path, 2, b"no image", [])

    with pytest.raises(DataError, match=r"no labelled training signs in the data \(.*it is not an image.*give a bench"):
        gather_crops([load_feedback(tmp_path)], 24, 0, False, silent)
