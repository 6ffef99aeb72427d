"""Readers of data of one's own: a folder of pictures for each class, COCO's format and YOLO's."""

import json
from pathlib import Path

import pytest

from tests.training.data.own_data import NAMES, SCENE, scene_boxes, write_coco, write_image_folders, write_yolo
from tests.training.tiny_gtsdb import zip_folder
from training.data.audit import audit
from training.data.classes import class_facts, common_classes
from training.data.crops import cut_crops
from training.data.gtsdb import load_gtsdb
from training.data.load import load_data
from training.data.records import Box, Dataset
from training.errors import DataError


def boxes_of(dataset: Dataset) -> dict[str, tuple[Box, ...]]:
    return {Path(sample.image).stem: sample.boxes for sample in dataset.samples}


def test_folders_of_pictures_are_classes(tmp_path: Path) -> None:
    folder = write_image_folders(tmp_path / "mine")
    dataset = load_data(f"images={folder}")
    assert dataset.classes.names == NAMES and dataset.classes.category_names == NAMES
    assert dataset.kind == "images" and not dataset.has_scenes
    train, test = dataset.split("train"), dataset.split("test")
    assert (
        len(train) == 33 and len(test) == 3 and {box.class_id for sample in test for box in sample.boxes} == {0, 1, 2}
    )
    assert all(sample.boxes[0].right == 40 == sample.boxes[0].bottom for sample in dataset.samples)
    assert any("no test split" in notice for notice in dataset.notices)
    assert load_data(f"images={folder}").samples == dataset.samples  # the same ones each time
    assert len(cut_crops(dataset, "train", 24)) == 33


def test_splits_that_the_folders_name_are_kept(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        write_image_folders(tmp_path / "mine", count, split)
    dataset = load_data(f"images={zip_folder(tmp_path / 'mine')}")
    assert (len(dataset.split("train")), len(dataset.split("test"))) == (24, 9)
    assert dataset.notices == () and dataset.classes.names == NAMES


def test_a_validation_split_alone_is_the_test(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("valid", 2)):
        write_image_folders(tmp_path / "mine", count, split)
    dataset = load_data(f"images={tmp_path / 'mine'}")
    assert (len(dataset.split("train")), len(dataset.split("test"))) == (18, 6)
    assert any("validation split" in notice for notice in dataset.notices)


def test_classes_with_numbers_are_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    folder = write_image_folders(tmp_path / "mine", 2)
    for old, new in zip(NAMES, ("class 10", "class 9", "class 1"), strict=True):
        (folder / old).rename(folder / new)
    assert load_data(f"images={folder}").classes.names == ("class 1", "class 9", "class 10")


@pytest.mark.parametrize("split", ["", "train"])
def test_folders_below_a_class_are_of_that_class(tmp_path: Path, split: str) -> None:
    folder = write_image_folders(tmp_path / "mine", 2, split)
    for name in NAMES:
        (folder / split / name).rename(tmp_path / "moved")
        (folder / split / name).mkdir()
        (tmp_path / "moved").rename(folder / split / name / "2023")
    for path in (folder, zip_folder(folder)):
        dataset = load_data(f"images={path}")
        assert dataset.classes.names == NAMES
        assert all(NAMES[sample.boxes[0].class_id] in sample.image for sample in dataset.samples)


def test_pictures_beside_the_folder_of_a_data_set_are_no_class(tmp_path: Path) -> None:
    folder = write_image_folders(tmp_path / "mine" / "set", 2, "train").parent
    write_image_folders(folder / "docs", 1)
    with pytest.raises(DataError, match="mine holds set, with folders of splits and classes, beside other folders"):
        load_data(f"images={folder}")


@pytest.mark.parametrize(("first", "second"), [("train", "bus"), ("Test", "A")])
def test_folders_of_splits_and_of_classes_side_by_side_are_refused(tmp_path: Path, first: str, second: str) -> None:
    folder = write_image_folders(tmp_path / "mine", 2)
    (folder / NAMES[0]).rename(folder / first)
    (folder / NAMES[1]).rename(folder / second)
    with pytest.raises(DataError, match=f"{first} and {second}, {NAMES[2]} side by side"):
        load_data(f"images={folder}")


def test_a_class_inside_of_splits_may_be_called_like_a_split(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        folder = write_image_folders(tmp_path / "mine", count, split)
        (folder / split / NAMES[0]).rename(folder / split / "train")
    dataset = load_data(f"images={folder}")
    assert dataset.classes.names == (*NAMES[1:], "train") and len(dataset.split("test")) == 6


@pytest.mark.parametrize("kind", ["coco", "yolo"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "detected"])
def test_boxes_are_those_of_the_scenes(tmp_path: Path, kind: str, named: bool) -> None:
    write = write_coco if kind == "coco" else write_yolo
    folder = write(tmp_path / "mine", {"train": 6, "test": 2})
    dataset = load_data(f"{kind}={folder}" if named else str(folder))
    assert dataset.kind == kind and dataset.has_scenes and dataset.classes.names == NAMES
    assert (len(dataset.split("train")), len(dataset.split("test"))) == (6, 2)
    for number in range(8):
        wanted = tuple(Box(*box, NAMES.index(name)) for name, box in scene_boxes(number))
        assert boxes_of(dataset)[f"{number:04}"] == wanted


@pytest.mark.parametrize("kind", ["images", "coco", "yolo"])
def test_the_notice_about_a_missing_test_split_says_how_this_format_names_one(tmp_path: Path, kind: str) -> None:
    wanted = {"images": "train/<class>", "coco": "JSON file", "yolo": "images and in labels"}[kind]
    write = {"coco": write_coco, "yolo": write_yolo}
    for count, is_divided in ((18, True), (2, False)):
        folder = tmp_path / str(count)
        if kind == "images":
            write_image_folders(folder, count)
        else:
            write[kind](folder, {"": count})
        dataset = load_data(f"{kind}={folder}")
        (notice,) = dataset.notices
        assert wanted in notice and bool(dataset.split("test")) == is_divided
        assert ("are used for testing" in notice) == is_divided


def test_supercategories_are_what_a_detector_distinguishes(tmp_path: Path) -> None:
    classes = load_data(f"coco={write_coco(tmp_path / 'mine', {'train': 6})}").classes
    assert classes.category_names == ("disc", "square") and classes.categories == (0, 0, 1)
    assert class_facts(classes) == {"categories": "disc\ndisc\nsquare"}


def test_one_supercategory_for_all_distinguishes_nothing(tmp_path: Path) -> None:
    file = write_coco(tmp_path / "mine", {"train": 6}) / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    for category in content["categories"]:
        category["supercategory"] = "signs"
    file.write_text(json.dumps(content))
    assert load_data(f"coco={tmp_path / 'mine'}").classes.category_names == NAMES


def test_images_that_are_listed_and_not_there_are_left_out(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "mine", {"train": 6, "test": 2})
    (folder / "train" / "0003.png").unlink()
    dataset = load_data(f"coco={folder}")
    assert len(dataset.samples) == 7 and dataset.left_out[0].image == "0003.png"


def test_what_windows_writes_is_read(tmp_path: Path) -> None:
    """Backslashes in the names of files, and a byte order mark before the first label."""
    folder = write_coco(tmp_path / "coco", {"train": 2})
    file = folder / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        image["file_name"] = f"pictures\\{image['file_name']}"
    file.write_text(json.dumps(content))
    assert len(load_data(f"coco={folder}").samples) == 2
    folder = write_yolo(tmp_path / "yolo", {"train": 2})
    label = folder / "labels" / "train" / "0000.txt"
    label.write_text("\ufeff" + label.read_text())
    assert len(boxes_of(load_data(f"yolo={folder}"))["0000"]) == 2


def test_a_class_may_end_with_a_superscript(tmp_path: Path) -> None:
    folder = write_image_folders(tmp_path / "mine", 2)
    (folder / NAMES[0]).rename(folder / "m²")
    assert "m²" in load_data(f"images={folder}").classes.names


def test_data_sets_with_other_classes_are_not_mixed(tmp_path: Path) -> None:
    from tests.training.tiny_gtsdb import write_tiny_gtsdb

    mine = load_data(f"images={write_image_folders(tmp_path / 'mine')}")
    german = load_gtsdb(write_tiny_gtsdb(tmp_path).folder)
    assert common_classes([mine, mine]) == mine.classes
    with pytest.raises(DataError, match="same classes in the same order"):
        common_classes([german, mine])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.2", "class cx cy w h"),
        ("3 0.5 0.5 0.2 0.2", "ids are 0 to 2"),
        ("0 80 60 30 30", "must be shares of the image"),
        ("red 0.5 0.5 0.2 0.2", "class cx cy w h"),
    ],
)
def test_a_wrong_yolo_label_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    folder = write_yolo(tmp_path / "mine", {"train": 2})
    (folder / "labels" / "train" / "0001.txt").write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=r"0001\.txt line 2") as caught:
        load_data(f"yolo={folder}")
    assert said in str(caught.value)


def test_what_is_no_such_data_set_names_the_layout(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for kind, said in (("images", "<class>/"), ("coco", "annotations"), ("yolo", "data.yaml")):
        with pytest.raises(DataError, match=said):
            load_data(f"{kind}={tmp_path / 'empty'}")


def test_each_broken_picture_is_listed_and_training_refuses_it(tmp_path: Path) -> None:
    folder = write_image_folders(tmp_path / "images", 2)
    whole = (folder / NAMES[0] / "000.png").read_bytes()
    (folder / NAMES[0] / "001.png").write_bytes(b"no picture")
    (folder / NAMES[1] / "001.png").write_bytes(whole[:-200])
    images = load_data(f"images={folder}")
    facts = audit([images]).data_sets[0]
    assert [problem.image for problem in facts.broken] == [f"{name}/001.png" for name in NAMES[:2]]
    assert not (facts.bad_boxes or facts.double_boxes) and set(facts.splits["train"].long_sides) == {40}
    with pytest.raises(DataError, match=r"001\.png cannot be used"):
        cut_crops(images, "train", 24)

    folder = write_yolo(tmp_path / "yolo", {"train": 3, "test": 1})
    (folder / "images" / "train" / "0001.png").write_bytes(b"")
    facts = audit([load_data(f"yolo={folder}")]).data_sets[0]
    assert [problem.image for problem in facts.broken] == ["images/train/0001.png"]
    assert not (facts.bad_boxes or facts.double_boxes)


@pytest.mark.parametrize("damage", ["{", '{"images": [], "annotations": [{}], "categories": []}'])
def test_a_damaged_coco_file_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    folder = write_coco(tmp_path / "mine", {"train": 2})
    (folder / "train" / "_annotations.coco.json").write_text(damage)
    with pytest.raises(DataError, match=r"_annotations\.coco\.json"):
        load_data(f"coco={folder}")


def test_a_box_at_the_edge_stays_inside(tmp_path: Path) -> None:
    folder = write_yolo(tmp_path / "mine", {"train": 2})
    (folder / "labels" / "train" / "0000.txt").write_text("1 0.99 0.5 0.1 0.4\n")
    (box,) = boxes_of(load_data(f"yolo={folder}"))["0000"]
    assert box.right == SCENE[0] and box.class_id == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["red", "blue", "red"], "two classes called 'red'"),
        (["a", "b\nc", "d"], "one line"),
        (["a", " ", "d"], "one line"),
        (["A", "b", " A"], "two classes called 'A'"),
        (["a", "unknown", "d"], "a class called 'unknown'"),
    ],
)
def test_classes_have_a_name_each_that_fits_in_a_line(tmp_path: Path, names: list[str], said: str) -> None:
    yolo, coco = write_yolo(tmp_path / "yolo", {"train": 2}), write_coco(tmp_path / "coco", {"train": 3})
    (yolo / "data.yaml").write_text(f"names: {json.dumps(names)}\n")
    file = coco / "train" / "_annotations.coco.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 1 + number, "name": name} for number, name in enumerate(names)]
    file.write_text(json.dumps(content))
    for spec in (f"yolo={yolo}", f"coco={coco}"):
        with pytest.raises(DataError, match=said):
            load_data(spec)
