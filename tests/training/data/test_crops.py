"""Tests of cutting sign crops out of scenes."""

import os
import shutil

import numpy as np
import pytest

from tests.training.tiny_gtsdb import COLOURS, LABELS, TinyGtsdb, zip_folder
from training.data.crops import cut_crops
from training.data.gtsdb import load_gtsdb
from training.errors import DataError

TRAIN_IDS = [label[-1] for number, labels in LABELS.items() if number < "00600" for label in labels]
TEST_IDS = [label[-1] for number, labels in LABELS.items() if number >= "00600" for label in labels]


def _replace_label(gtsdb: TinyGtsdb, old: str, new: str) -> None:
    labels = gtsdb.folder / "gt.txt"
    text = labels.read_text()
    assert text.count(old) == 1
    labels.write_text(text.replace(old, new))


def test_every_box_becomes_one_crop_in_the_order_of_the_labels(gtsdb: TinyGtsdb) -> None:
    dataset = load_gtsdb(gtsdb.folder)
    train, test = cut_crops(dataset, "train", 32), cut_crops(dataset, "test", 48)

    assert train.images.shape == (8, 32, 32, 3)
    assert test.images.shape == (3, 48, 48, 3)
    assert train.images.dtype == np.uint8
    assert train.class_ids.dtype == np.int64
    assert train.class_ids.tolist() == TRAIN_IDS
    assert test.class_ids.tolist() == TEST_IDS
    assert train.sources == tuple(f"0000{scene}.jpg" for scene in (0, 0, 2, 3, 3, 4, 4, 4))
    assert len(train) == 8


def test_crops_show_the_signs_that_their_labels_name(gtsdb: TinyGtsdb) -> None:
    crops = cut_crops(load_gtsdb(gtsdb.folder), "train", 48)

    for image, class_id in zip(crops.images, crops.class_ids, strict=True):
        middle = image[12:36, 12:36].reshape(-1, 3)
        assert np.abs(middle.mean(axis=0) - COLOURS[int(class_id)]).max() < 12
        border = image[:2].astype(np.float64)  # inside the margin: noise, not sign
        assert np.abs(border.mean(axis=(0, 1)) - COLOURS[int(class_id)]).max() > 20


def test_folder_and_zip_give_the_same_crops_and_fingerprint(gtsdb: TinyGtsdb) -> None:
    folder = cut_crops(load_gtsdb(gtsdb.folder), "train", 24)
    for path in (gtsdb.zip, gtsdb.folder.parent):
        other = cut_crops(load_gtsdb(path), "train", 24)
        assert np.array_equal(folder.images, other.images)
        assert folder.fingerprint == other.fingerprint


def test_fingerprint_does_not_depend_on_the_size_of_the_crops(gtsdb: TinyGtsdb) -> None:
    dataset = load_gtsdb(gtsdb.folder)

    assert cut_crops(dataset, "train", 16).fingerprint == cut_crops(dataset, "train", 48).fingerprint


def test_fingerprint_changes_with_one_byte_of_one_image(gtsdb: TinyGtsdb) -> None:
    before = cut_crops(load_gtsdb(gtsdb.folder), "train", 24)
    path = gtsdb.folder / "00002.jpg"
    path.write_bytes(path.read_bytes() + b"\x00")  # behind the end of the picture: it still decodes alike

    after = cut_crops(load_gtsdb(gtsdb.folder), "train", 24)

    assert np.array_equal(before.images, after.images)
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("new", ["00002.ppm;40;30;65;58;38", "00002.ppm;40;30;65;57;37"])
def test_fingerprint_changes_with_one_box_or_class(gtsdb: TinyGtsdb, new: str) -> None:
    before = cut_crops(load_gtsdb(gtsdb.folder), "train", 24)
    _replace_label(gtsdb, "00002.ppm;40;30;65;57;38", new)

    assert cut_crops(load_gtsdb(gtsdb.folder), "train", 24).fingerprint != before.fingerprint


def test_fingerprints_of_the_splits_differ_and_ignore_each_other(gtsdb: TinyGtsdb) -> None:
    dataset = load_gtsdb(gtsdb.folder)
    train, test = cut_crops(dataset, "train", 24), cut_crops(dataset, "test", 24)
    _replace_label(gtsdb, "00601.ppm;33;15;60;42;12", "00601.ppm;33;15;60;42;13")
    changed = load_gtsdb(gtsdb.folder)

    assert train.fingerprint != test.fingerprint
    assert cut_crops(changed, "train", 24).fingerprint == train.fingerprint
    assert cut_crops(changed, "test", 24).fingerprint != test.fingerprint


@pytest.mark.parametrize("content", [b"", b"text, not an image", None], ids=["empty", "text", "cut short"])
def test_broken_image_is_a_data_error_that_names_it(gtsdb: TinyGtsdb, content: bytes | None) -> None:
    path = gtsdb.folder / "00003.jpg"
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)

    with pytest.raises(DataError, match=r"00003\.jpg cannot be used: .*Restore the file, or remove it"):
        cut_crops(load_gtsdb(gtsdb.folder), "train", 24)


def test_broken_image_in_a_zip_is_the_same_data_error(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "00003.jpg").write_bytes(b"text")

    with pytest.raises(DataError, match=r"gtsdb=FullIJCNN2013\.zip: FullIJCNN2013/00003\.jpg cannot be used"):
        cut_crops(load_gtsdb(zip_folder(gtsdb.folder)), "train", 24)


def test_image_that_vanished_is_a_data_error_that_names_it(gtsdb: TinyGtsdb) -> None:
    dataset = load_gtsdb(gtsdb.folder)
    (gtsdb.folder / "00003.jpg").unlink()

    with pytest.raises(DataError, match=r"00003\.jpg cannot be read"):
        cut_crops(dataset, "train", 24)


def test_broken_image_without_signs_is_never_read(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "00001.jpg").write_bytes(b"text")

    assert len(cut_crops(load_gtsdb(gtsdb.folder), "train", 24)) == 8


def test_box_outside_the_image_is_a_data_error_that_names_both(gtsdb: TinyGtsdb) -> None:
    _replace_label(gtsdb, "00002.ppm;40;30;65;57;38", "00002.ppm;400;300;425;325;38")

    with pytest.raises(
        DataError, match=r"00002\.jpg cannot be used: the box \(400, 300, 426, 326\) lies outside .*140x90"
    ):
        cut_crops(load_gtsdb(gtsdb.folder), "train", 24)


@pytest.mark.parametrize(("split", "kept"), [("train", "006"), ("test", "000")])
def test_split_without_signs_is_a_data_error_that_says_which_scenes_it_has(
    gtsdb: TinyGtsdb, split: str, kept: str
) -> None:
    for path in gtsdb.folder.glob("*.jpg"):
        if not path.name.startswith(kept):
            path.unlink()

    with pytest.raises(DataError, match=rf"no labelled signs in its {split} split: .*00000 to 00599"):
        cut_crops(load_gtsdb(gtsdb.folder), "train" if split == "train" else "test", 24)


def test_split_whose_scenes_have_no_signs_is_a_data_error(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "gt.txt").write_text("")

    with pytest.raises(DataError, match="no labelled signs"):
        cut_crops(load_gtsdb(gtsdb.folder), "train", 24)


def test_progress_counts_every_image_with_signs(gtsdb: TinyGtsdb) -> None:
    calls: list[tuple[int, int]] = []

    cut_crops(load_gtsdb(gtsdb.folder), "train", 24, lambda done, total: calls.append((done, total)))

    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_order_of_crops_holds_with_more_scenes_than_threads(gtsdb: TinyGtsdb) -> None:
    numbers = [f"{number:05}" for number in range(100, 100 + 8 * (os.cpu_count() or 1))]
    with (gtsdb.folder / "gt.txt").open("a") as labels:
        for position, number in enumerate(numbers):
            shutil.copy(gtsdb.folder / "00002.jpg", gtsdb.folder / f"{number}.jpg")
            labels.write(f"{number}.ppm;40;30;65;57;{position % 43}\n")

    crops = cut_crops(load_gtsdb(gtsdb.folder), "train", 16)

    assert crops.sources[8:] == tuple(f"{number}.jpg" for number in numbers)
    assert crops.class_ids[8:].tolist() == [position % 43 for position in range(len(numbers))]


def test_select_takes_the_named_crops_and_keeps_the_fingerprint(gtsdb: TinyGtsdb) -> None:
    crops = cut_crops(load_gtsdb(gtsdb.folder), "train", 24)
    chosen = crops.select(np.array([6, 0, 6], dtype=np.int64))

    assert np.array_equal(chosen.images, crops.images[[6, 0, 6]])
    assert chosen.class_ids.tolist() == [TRAIN_IDS[6], TRAIN_IDS[0], TRAIN_IDS[6]]
    assert chosen.sources == ("00004.jpg", "00000.jpg", "00004.jpg")
    assert chosen.fingerprint == crops.fingerprint
    assert len(crops.select(np.array([], dtype=np.int64))) == 0
