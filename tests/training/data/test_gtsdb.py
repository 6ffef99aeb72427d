"""Tests of the GTSDB reader."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from tests.training.tiny_gtsdb import LABELS, TinyGtsdb, zip_folder
from training.data.crops import cut_crops
from training.data.gtsdb import load_gtsdb
from training.data.records import Box, Dataset
from training.errors import DataError


def _append(gtsdb: TinyGtsdb, line: str) -> int:
    """Adds a line to gt.txt and returns its number."""
    labels = gtsdb.folder / "gt.txt"
    labels.write_text(labels.read_text() + line + "\n")
    return len(labels.read_text().splitlines())


def _archives(gtsdb: TinyGtsdb, parent: Path) -> tuple[Path, Path]:
    """Writes the scenes as the archives for training and for test unpack: the latter without labels, from 00000."""
    train, test = parent / "TrainIJCNN2013", parent / "TestIJCNN2013Download"
    train.mkdir(parents=True)
    test.mkdir()
    for path in gtsdb.folder.glob("*.jpg"):
        number = int(path.stem)
        shutil.copy(path, train / path.name if number < 600 else test / f"{number - 600:05}.jpg")
    lines = (gtsdb.folder / "gt.txt").read_text().splitlines(keepends=True)
    (train / "gt.txt").write_text("".join(line for line in lines if line < "00600"))
    return train, test


def _boxes(dataset: Dataset, split: Literal["train", "test"]) -> list[tuple[Box, ...]]:
    return [sample.boxes for sample in dataset.split(split)]


def test_labels_become_exclusive_boxes_of_every_scene(gtsdb: TinyGtsdb) -> None:
    dataset = load_gtsdb(gtsdb.folder)

    assert dataset.name == "gtsdb=FullIJCNN2013"
    assert [sample.image for sample in dataset.samples] == [f"{number}.jpg" for number in LABELS]
    assert {sample.image[:5]: sample.boxes for sample in dataset.samples} == gtsdb.boxes
    assert dataset.samples[0].boxes[0] == Box(10, 12, 34, 36, 1)


def test_one_pixel_box_is_one_pixel_wide(gtsdb: TinyGtsdb) -> None:
    _append(gtsdb, "00001.ppm;7;8;7;8;0")

    (box,) = load_gtsdb(gtsdb.folder).samples[1].boxes
    assert (box.right - box.left, box.bottom - box.top) == (1, 1)


def test_scene_without_lines_has_no_boxes(gtsdb: TinyGtsdb) -> None:
    assert load_gtsdb(gtsdb.folder).samples[1].boxes == ()


def test_split_follows_the_number(gtsdb: TinyGtsdb) -> None:
    for number in ("00599", "00899"):
        shutil.copy(gtsdb.folder / "00001.jpg", gtsdb.folder / f"{number}.jpg")

    dataset = load_gtsdb(gtsdb.folder)

    assert [sample.image[:5] for sample in dataset.split("train")][-1] == "00599"
    assert [sample.image[:5] for sample in dataset.split("test")] == ["00600", "00601", "00899"]


def test_folder_zip_and_folders_above_give_the_same_scenes(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    plain = load_gtsdb(gtsdb.folder)
    nested = tmp_path / "downloads"
    shutil.copytree(gtsdb.folder, nested / "a" / "b")

    for path in (gtsdb.zip, gtsdb.folder.parent, nested):
        other = load_gtsdb(path)
        assert [(Path(sample.image).name, sample.split, sample.boxes) for sample in other.samples] == [
            (sample.image, sample.split, sample.boxes) for sample in plain.samples
        ]
        assert [other.read(sample) for sample in other.samples] == [plain.read(sample) for sample in plain.samples]


def test_shallowest_labels_win_and_other_folders_are_left_out(gtsdb: TinyGtsdb) -> None:
    shutil.copytree(gtsdb.folder, gtsdb.folder / "copy")
    (gtsdb.folder / "00").mkdir()
    shutil.copy(gtsdb.folder / "00001.jpg", gtsdb.folder / "00" / "00005.jpg")  # the official crops lie like this

    assert [sample.image for sample in load_gtsdb(gtsdb.folder).samples] == [f"{number}.jpg" for number in LABELS]


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".jpeg", ".JPG"])
def test_images_are_found_whatever_their_suffix(gtsdb: TinyGtsdb, suffix: str) -> None:
    for path in list(gtsdb.folder.glob("*.jpg")):
        if suffix.lower().startswith(".jp"):
            path.rename(path.with_suffix(suffix))
            continue
        with Image.open(path) as image:
            image.save(path.with_suffix(suffix))
        path.unlink()

    dataset = load_gtsdb(gtsdb.folder)

    assert {sample.image[:5]: sample.boxes for sample in dataset.samples} == gtsdb.boxes
    assert {Path(sample.image).suffix for sample in dataset.samples} == {suffix}


def test_files_that_are_no_numbered_scene_are_left_out(gtsdb: TinyGtsdb) -> None:
    for name in ("signs.png", "._00000.jpg", "00007.txt"):
        (gtsdb.folder / name).write_bytes(b"else")

    assert len(load_gtsdb(gtsdb.folder).samples) == len(LABELS)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\n" + text.replace("\n", "\n\n") + "  \n",
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", " \n"),
    ],
    ids=["windows line ends", "blank lines", "no last line end", "trailing blanks"],
)
def test_layout_of_lines_does_not_matter(gtsdb: TinyGtsdb, rewrite: Callable[[str], str]) -> None:
    labels = gtsdb.folder / "gt.txt"
    labels.write_bytes(rewrite(labels.read_text()).encode())

    assert {sample.image[:5]: sample.boxes for sample in load_gtsdb(gtsdb.folder).samples} == gtsdb.boxes


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "00000.ppm;1;2;3;4",
        "00000.ppm;1;2;3;4;5;6",
        "00000.ppm;-1;2;3;4;5",
        "00000.ppm;1.5;2;3;4;5",
        "00000.ppm,1,2,3,4,5",
        "0.ppm;1;2;3;4;5",
        "Filename;Left;Top;Right;Bottom;ClassId",
    ],
)
def test_malformed_line_is_a_data_error_that_names_it(gtsdb: TinyGtsdb, line: str) -> None:
    number = _append(gtsdb, line)

    with pytest.raises(DataError, match=rf"gt\.txt line {number} is .*expected NNNNN\.ppm;left;top"):
        load_gtsdb(gtsdb.folder)


def test_labels_that_are_no_text_are_a_data_error(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "gt.txt").write_bytes(bytes(range(128, 256)))

    with pytest.raises(DataError, match=r"gt\.txt line 1 is "):
        load_gtsdb(gtsdb.folder)


def test_class_43_is_a_data_error_that_names_the_line(gtsdb: TinyGtsdb) -> None:
    number = _append(gtsdb, "00001.ppm;1;2;3;4;43")

    with pytest.raises(DataError, match=rf"gt\.txt line {number} has class 43; ids are 0 to 42"):
        load_gtsdb(gtsdb.folder)


@pytest.mark.parametrize("line", ["00001.ppm;9;2;3;4;5", "00001.ppm;1;9;3;4;5", "00001.ppm;3;2;2;4;5"])
def test_box_without_area_is_a_data_error_that_names_the_line(gtsdb: TinyGtsdb, line: str) -> None:
    number = _append(gtsdb, line)

    with pytest.raises(DataError, match=rf"gt\.txt line {number} has a box without area: {line}"):
        load_gtsdb(gtsdb.folder)


def test_bad_line_in_a_zip_is_the_same_data_error(gtsdb: TinyGtsdb) -> None:
    number = _append(gtsdb, "nonsense")

    with pytest.raises(DataError, match=rf"FullIJCNN2013\.zip: FullIJCNN2013/gt\.txt line {number} is 'nonsense'"):
        load_gtsdb(zip_folder(gtsdb.folder))


def test_no_labels_is_a_data_error_that_says_what_to_give(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "gt.txt").unlink()

    with pytest.raises(DataError, match=r"holds no gt\.txt\. Give the FullIJCNN2013 folder or FullIJCNN2013\.zip"):
        load_gtsdb(gtsdb.folder)


def test_labels_without_images_are_a_data_error(gtsdb: TinyGtsdb) -> None:
    for path in gtsdb.folder.glob("*.jpg"):
        path.unlink()

    with pytest.raises(DataError, match="no scene images beside it: unpack the whole data set"):
        load_gtsdb(gtsdb.folder)


def test_missing_path_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data at"):
        load_gtsdb(tmp_path / "FullIJCNN2013.zip")


def test_byte_order_mark_before_the_first_line_does_not_matter(gtsdb: TinyGtsdb) -> None:
    labels = gtsdb.folder / "gt.txt"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes())

    assert {sample.image[:5]: sample.boxes for sample in load_gtsdb(gtsdb.folder).samples} == gtsdb.boxes


def test_image_named_by_digits_that_are_no_number_is_left_out(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "\u00b2.jpg").write_bytes(b"else")  # str.isdigit holds for a superscript two, int() refuses it

    assert len(load_gtsdb(gtsdb.folder).samples) == len(LABELS)


def test_number_with_thousands_of_digits_is_a_data_error(gtsdb: TinyGtsdb) -> None:
    _append(gtsdb, f"00001.ppm;1;2;{'9' * 5000};4;5")

    with pytest.raises(DataError):
        load_gtsdb(gtsdb.folder)


def test_labels_of_scenes_that_are_not_there_are_left_out(gtsdb: TinyGtsdb) -> None:
    # A copy with only some of the scenes keeps the whole gt.txt.
    (gtsdb.folder / "00003.jpg").unlink()

    dataset = load_gtsdb(gtsdb.folder)

    assert [sample.image[:5] for sample in dataset.samples] == [number for number in LABELS if number != "00003"]


def test_training_archive_alone_is_read(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    train, _ = _archives(gtsdb, tmp_path / "downloads")

    for path in (train, zip_folder(train)):
        dataset = load_gtsdb(path)
        assert _boxes(dataset, "train") == [boxes for number, boxes in gtsdb.boxes.items() if number < "00600"]
        assert not dataset.split("test")
        assert dataset.notices == ()


def test_scenes_of_the_test_archive_are_unlabelled_and_not_empty(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    _, test = _archives(gtsdb, tmp_path / "downloads")
    renamed = test.with_name("TestIJCNN2013.zip")
    zip_folder(test).rename(renamed)

    for path in (test, renamed):
        dataset = load_gtsdb(path)
        assert [(sample.split, sample.labelled, sample.boxes) for sample in dataset.samples] == 2 * [
            ("test", False, ())
        ]
        assert len(dataset.notices) == 1
        assert dataset.notices[0].startswith("the 2 scenes of the test split have no labels: put the official gt.txt")
        with pytest.raises(DataError, match="no labelled signs in its test split"):
            cut_crops(dataset, "test", 24)


@pytest.mark.parametrize("place", ["inside", "below", "beside the folder", "beside the zip"])
def test_test_archive_takes_the_labels_of_a_full_gt_txt(gtsdb: TinyGtsdb, tmp_path: Path, place: str) -> None:
    _, test = _archives(gtsdb, tmp_path / "downloads")
    folder = {"inside": test, "below": test / "labels"}.get(place, test.parent)
    folder.mkdir(exist_ok=True)
    shutil.copy(gtsdb.folder / "gt.txt", folder)

    dataset = load_gtsdb(zip_folder(test) if place == "beside the zip" else test)

    assert _boxes(dataset, "test") == [gtsdb.boxes["00600"], gtsdb.boxes["00601"]]
    assert all(sample.labelled for sample in dataset.samples)
    assert any("labels 4 scenes that are not here, such as 00000" in notice for notice in dataset.notices)
    assert any("labels are those of" in notice for notice in dataset.notices) == place.startswith("beside")


def test_archives_side_by_side_are_one_data_set(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    parent = _archives(gtsdb, tmp_path / "downloads")[0].parent

    dataset = load_gtsdb(parent)

    assert _boxes(dataset, "train") == [boxes for number, boxes in gtsdb.boxes.items() if number < "00600"]
    assert [sample.labelled for sample in dataset.samples] == 5 * [True] + 2 * [False]
    assert [sample.image for sample in dataset.split("test")] == [
        "TestIJCNN2013Download/00000.jpg",
        "TestIJCNN2013Download/00001.jpg",
    ]
    assert dataset.read(dataset.samples[0]) == (gtsdb.folder / "00000.jpg").read_bytes()
    assert dataset.read(dataset.split("test")[0]) == (gtsdb.folder / "00600.jpg").read_bytes()


@pytest.mark.parametrize("place", [".", "labels", "TestIJCNN2013Download", ".."])
def test_archives_side_by_side_take_the_labels_of_a_full_gt_txt(gtsdb: TinyGtsdb, tmp_path: Path, place: str) -> None:
    parent = _archives(gtsdb, tmp_path / "a" / "downloads")[0].parent
    (parent / place).mkdir(exist_ok=True)
    shutil.copy(gtsdb.folder / "gt.txt", parent / place)

    dataset = load_gtsdb(parent)

    assert _boxes(dataset, "train") + _boxes(dataset, "test") == list(gtsdb.boxes.values())
    assert all(sample.labelled for sample in dataset.samples)


def test_archives_beside_the_full_set_add_no_scene(gtsdb: TinyGtsdb) -> None:
    _archives(gtsdb, gtsdb.folder.parent)

    dataset = load_gtsdb(gtsdb.folder.parent)

    assert [sample.image for sample in dataset.samples] == [f"FullIJCNN2013/{number}.jpg" for number in LABELS]
    assert [sample.boxes for sample in dataset.samples] == list(gtsdb.boxes.values())


def test_own_crops_of_the_benchmark_are_no_scenes(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    train, _ = _archives(gtsdb, tmp_path / "downloads")
    (train / "07").mkdir()
    shutil.copy(train / "00001.jpg", train / "07" / "00005.jpg")
    shutil.move(train / "gt.txt", train.parent)
    train.rename(train.with_name("scenes"))
    shutil.rmtree(train.parent / "TestIJCNN2013Download")

    for path in (train.parent, train.parent / "scenes"):  # labels above the images, labels beside the folder
        assert len(load_gtsdb(path).samples) == 5
    shutil.rmtree(train.parent / "scenes")
    (train.parent / "07").mkdir()
    shutil.copy(gtsdb.folder / "00001.jpg", train.parent / "07" / "00005.jpg")
    with pytest.raises(DataError, match="no scene images"):
        load_gtsdb(train.parent)


def test_labels_beside_are_not_read_where_the_data_have_their_own(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder.parent / "gt.txt").write_text("of another data set\n")

    assert [sample.boxes for sample in load_gtsdb(gtsdb.zip).samples] == list(gtsdb.boxes.values())


def test_malformed_labels_beside_are_a_data_error_that_names_the_file(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    _, test = _archives(gtsdb, tmp_path / "downloads")
    (test.parent / "gt.txt").write_text("of another data set\n")

    with pytest.raises(DataError, match=r"downloads: gt\.txt line 1 is 'of another data set'"):
        load_gtsdb(test)


def test_full_set_takes_labels_from_beside_where_it_has_none(gtsdb: TinyGtsdb) -> None:
    (gtsdb.folder / "gt.txt").rename(gtsdb.folder.parent / "gt.txt")

    dataset = load_gtsdb(gtsdb.folder)

    assert [sample.boxes for sample in dataset.samples] == list(gtsdb.boxes.values())
    assert dataset.notices == (f"labels are those of {gtsdb.folder.parent / 'gt.txt'}",)


def test_split_that_the_labels_never_mention_is_unlabelled(gtsdb: TinyGtsdb) -> None:
    labels = gtsdb.folder / "gt.txt"
    labels.write_text("".join(line for line in labels.read_text().splitlines(keepends=True) if line < "00600"))

    dataset = load_gtsdb(gtsdb.folder)

    assert [sample.labelled for sample in dataset.samples] == 5 * [True] + 2 * [False]
    assert "the 2 scenes of the test split have no labels" in dataset.notices[0]


def test_test_archive_with_training_scenes_is_a_data_error(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    _, test = _archives(gtsdb, tmp_path / "downloads")
    shutil.copy(test / "00000.jpg", test / "00450.jpg")

    with pytest.raises(DataError, match=r"cannot be of the test split, whose scenes are numbered 00000 to 00299, or"):
        load_gtsdb(test)


def test_labels_nearest_to_the_top_win_for_their_split(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    train, test = _archives(gtsdb, tmp_path / "downloads")
    (train / "gt.txt").write_text("00001.ppm;7;8;9;10;5\n")
    (test / "labels").mkdir()
    shutil.copy(gtsdb.folder / "gt.txt", test / "labels")

    dataset = load_gtsdb(train.parent)

    assert _boxes(dataset, "train") == [(), (Box(7, 8, 10, 11, 5),), (), (), ()]
    assert _boxes(dataset, "test") == [gtsdb.boxes["00600"], gtsdb.boxes["00601"]]
