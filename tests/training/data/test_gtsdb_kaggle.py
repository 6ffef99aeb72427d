"""The Kaggle copy of GTSDB is read with its defects ignored, and repaired where that is possible."""

import shutil
from pathlib import Path

import pytest

from tests.training.tiny_gtsdb import LABELS, SCENE_SIZE, Label, TinyGtsdb, zip_folder
from training.data.audit import audit
from training.data.crops import cut_crops
from training.data.gtsdb import load_gtsdb
from training.data.records import Box, Dataset, Split
from training.errors import DataError

ADVICE = "for the labels of the benchmark, put the official gt.txt"
TEXT_ORDER = sorted(range(43), key=str)


def _yolo(label: Label, class_id: int) -> str:
    left, top, right, bottom, _ = label
    width, height = SCENE_SIZE
    centre = f"{(left + right + 1) / 2 / width:.6f} {(top + bottom + 1) / 2 / height:.6f}"
    return f"{class_id} {centre} {(right + 1 - left) / width:.6f} {(bottom + 1 - top) / height:.6f}\n"


@pytest.fixture
def kaggle(gtsdb: TinyGtsdb, tmp_path: Path) -> Path:
    """The drawn scenes as the copy has them, with its three defects; test scenes are numbered from 00000."""
    root = tmp_path / "downloads" / "GTSDB_Train_and_Test"
    for folder in ("Train/images", "Train/labels", "Test/images", "Test/labels"):
        (root / folder).mkdir(parents=True)
    for number, labels in LABELS.items():
        is_train = number < "00600"
        name, split = (number, "Train") if is_train else (f"{int(number) - 600:05}", "Test")
        shutil.copy(gtsdb.folder / f"{number}.jpg", root / split / "images" / f"{name}.jpg")
        lines = [_yolo(label, label[-1] if is_train else TEXT_ORDER.index(label[-1])) for label in labels]
        if lines:  # a scene without signs has no file
            (root / split / "labels" / f"{name}.txt").write_text("".join(lines[-1:] if is_train else lines))
    with (root / "Test" / "labels" / "00001.txt").open("a") as file:
        file.write("100 0.5 0.5 0.1 0.1\n")
    return root


def _write_labels(root: Path, name: str, *lines: str) -> None:
    (root / name).write_text("".join(f"{line}\n" for line in lines))


def _boxes(dataset: Dataset, split: Split) -> list[tuple[Box, ...]]:
    return [sample.boxes for sample in dataset.split(split)]


def test_boxes_come_in_pixels_of_the_image_and_test_classes_are_restored(gtsdb: TinyGtsdb, kaggle: Path) -> None:
    dataset = load_gtsdb(kaggle)

    last = [boxes[-1:] for number, boxes in gtsdb.boxes.items() if number < "00600"]
    assert _boxes(dataset, "train") == last
    assert _boxes(dataset, "test") == [gtsdb.boxes["00600"], gtsdb.boxes["00601"]]
    assert all(sample.labelled for sample in dataset.samples)
    assert [sample.image for sample in dataset.split("test")] == ["Test/images/00000.jpg", "Test/images/00001.jpg"]


def test_every_defect_is_reported_with_its_count(kaggle: Path) -> None:
    lost, positions, stray, advice = load_gtsdb(kaggle).notices

    assert lost.startswith("Train/labels has one box for each of its 4 labelled scenes")
    assert lost.endswith("39 of 43 classes have none")
    assert positions.startswith("Test/labels has positions in the list of ids sorted as text in place of class ids")
    assert positions.endswith("3 labels were translated back")
    assert stray.startswith("Test/labels has 1 of 4 labels with class 100")
    assert stray.endswith("scene 00001 misses a box")
    assert advice.startswith(ADVICE)


def test_a_few_lost_classes_are_named(kaggle: Path) -> None:
    for number, class_id in enumerate(sorted(set(range(43)) - {24, 31, 37}), start=100):
        shutil.copy(kaggle / "Train" / "images" / "00001.jpg", kaggle / "Train" / "images" / f"{number:05}.jpg")
        _write_labels(kaggle, f"Train/labels/{number:05}.txt", f"{class_id} 0.5 0.5 0.2 0.2")

    assert "3 of 43 classes have none (24, 31, 37)" in load_gtsdb(kaggle).notices[0]


def test_folders_above_below_and_zips_say_the_same(kaggle: Path) -> None:
    plain = load_gtsdb(kaggle)
    deep = kaggle.parent / "a" / "b"
    shutil.copytree(kaggle, deep / kaggle.name)

    for path in (zip_folder(kaggle), deep, deep.parent):
        other = load_gtsdb(path)
        for split in ("train", "test"):
            assert _boxes(other, split) == _boxes(plain, split)
            assert cut_crops(other, split, 24).fingerprint == cut_crops(plain, split, 24).fingerprint
        assert len(other.notices) == len(plain.notices)
    assert _boxes(load_gtsdb(kaggle / "Test"), "test") == _boxes(plain, "test")
    assert _boxes(load_gtsdb(kaggle / "Train"), "train") == _boxes(plain, "train")


def test_two_copies_are_not_mixed(kaggle: Path) -> None:
    shutil.copytree(kaggle, kaggle.parent / "other")
    (kaggle / "Train" / "images" / "00004.jpg").unlink()

    assert [len(load_gtsdb(kaggle.parent).split(split)) for split in ("train", "test")] == [4, 2]


def test_test_scenes_under_the_numbers_of_the_benchmark_are_the_same(kaggle: Path) -> None:
    plain = load_gtsdb(kaggle)
    for file in list((kaggle / "Test").rglob("0000*.*")):
        file.rename(file.with_name(f"{int(file.stem) + 600:05}{file.suffix}"))

    renumbered = load_gtsdb(kaggle)

    assert _boxes(renumbered, "test") == _boxes(plain, "test")
    assert [sample.image for sample in renumbered.split("test")] == ["Test/images/00600.jpg", "Test/images/00601.jpg"]


@pytest.mark.parametrize(("split", "number"), [("Train", "00600"), ("Test", "00300")])
def test_scene_that_cannot_be_of_its_split_is_a_data_error(kaggle: Path, split: str, number: str) -> None:
    shutil.copy(kaggle / "Train" / "images" / "00001.jpg", kaggle / split / "images" / f"{number}.jpg")

    with pytest.raises(DataError, match=rf"{split}/images/\d+\.jpg cannot be of the {split.lower()} split"):
        load_gtsdb(kaggle)


def test_labels_that_are_right_are_left_alone(gtsdb: TinyGtsdb, kaggle: Path) -> None:
    for number, labels in LABELS.items():
        name = f"Train/labels/{number}.txt" if number < "00600" else f"Test/labels/{int(number) - 600:05}.txt"
        (kaggle / name).write_text("".join(_yolo(label, label[-1]) for label in labels))
    with (kaggle / "Test" / "labels" / "00001.txt").open("a") as file:
        file.write("13 0.5 0.5 0.1 0.1\n")  # were ids positions, this would be class 20, which the test split lacks

    dataset = load_gtsdb(kaggle)

    assert _boxes(dataset, "train") == [boxes for number, boxes in gtsdb.boxes.items() if number < "00600"]
    assert _boxes(dataset, "test") == [gtsdb.boxes["00600"], (*gtsdb.boxes["00601"], Box(63, 40, 77, 50, 13))]
    assert [notice for notice in dataset.notices if not notice.startswith(ADVICE)] == [
        "Test/labels seems to have the benchmark's own class ids: its 4 labels are taken as they are"
    ]


@pytest.mark.parametrize(
    ("ids", "classes", "reason"),
    [
        ((19, 4), [26, 12], "class 19 occurs, which the official test split lacks"),
        ((1, 4), [1, 12], "as in the known copy"),
        ((19, 13), [26, 20], "as in the known copy"),
    ],
)
def test_reason_for_translating_ids_is_reported(
    kaggle: Path, ids: tuple[int, ...], classes: list[int], reason: str
) -> None:
    _write_labels(kaggle, "Test/labels/00000.txt", *(f"{class_id} 0.5 0.5 0.2 0.2" for class_id in ids))
    (kaggle / "Test" / "labels" / "00001.txt").unlink()

    dataset = load_gtsdb(kaggle)

    assert [box.class_id for box in dataset.split("test")[0].boxes] == classes
    assert any(reason in notice and "2 labels" in notice for notice in dataset.notices)


def test_scene_with_an_empty_label_file_has_no_signs(kaggle: Path) -> None:
    _write_labels(kaggle, "Test/labels/00000.txt", "", "  ")

    scene = load_gtsdb(kaggle).split("test")[0]
    assert (scene.boxes, scene.labelled) == ((), True)


def test_split_without_any_label_file_is_unlabelled(kaggle: Path) -> None:
    shutil.rmtree(kaggle / "Test" / "labels")

    dataset = load_gtsdb(kaggle)

    assert [(scene.boxes, scene.labelled) for scene in dataset.split("test")] == 2 * [((), False)]
    assert "the 2 scenes of the test split have no labels" in dataset.notices[-1]


def test_labels_of_images_that_are_absent_are_reported(kaggle: Path) -> None:
    (kaggle / "Train" / "images" / "00003.jpg").unlink()

    dataset = load_gtsdb(kaggle)

    assert len(dataset.split("train")) == 4
    assert "Train/labels labels 1 scenes whose images are not here, such as 00003" in dataset.notices


def test_files_that_are_no_labels_or_scenes_are_left_out(kaggle: Path) -> None:
    plain = load_gtsdb(kaggle)
    for name in ("Train/labels/classes.txt", "Train/labels/00001.cache", "Train/images/._00001.jpg", "readme.txt"):
        (kaggle / name).write_text("nonsense")

    assert load_gtsdb(kaggle).samples == plain.samples


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("nonsense", "expected five numbers: class cx cy w h"),
        ("1 0.5 0.5 0.1", "expected five numbers"),
        ("1 0.5 0.5 0.1 0.1 0.9", "expected five numbers"),
        ("1 0.5 x 0.1 0.1", "expected five numbers"),
        ("1.5 0.5 0.5 0.1 0.1", "expected five numbers"),
        ("-1 0.5 0.5 0.1 0.1", "expected five numbers"),
        ("9999999 0.5 0.5 0.1 0.1", "expected five numbers"),
        ("43 0.5 0.5 0.1 0.1", "has class 43; ids are 0 to 42"),
        ("101 0.5 0.5 0.1 0.1", "has class 101; ids are 0 to 42"),
        ("1 1.5 0.5 0.1 0.1", "must be shares of the image, 0 to 1"),
        ("1 0.5 -0.5 0.1 0.1", "must be shares of the image, 0 to 1"),
        ("1 680 400 30 30", "must be shares of the image, 0 to 1"),
        ("1 nan 0.5 0.1 0.1", "must be shares of the image, 0 to 1"),
        ("1 0.5 0.5 inf 0.1", "must be shares of the image, 0 to 1"),
        ("1 0.5 0.5 0 0.1", "has a box without area"),
    ],
)
def test_a_wrong_line_is_named(kaggle: Path, line: str, complaint: str) -> None:
    _write_labels(kaggle, "Train/labels/00002.txt", "1 0.5 0.5 0.1 0.1", "", line)

    with pytest.raises(DataError, match=rf"Train/labels/00002\.txt line 3 .*{complaint}") as caught:
        load_gtsdb(kaggle)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("7 0 0 0.1 0.1", Box(0, 0, 7, 4, 7)),
        ("7 1 1 0.1 0.1", Box(133, 86, 140, 90, 7)),
        ("7 1 1 1e-9 1e-9", Box(139, 89, 140, 90, 7)),
        ("7 0.5 0.5 1e-9 1e-9", Box(70, 45, 71, 46, 7)),
        ("7 0.5 0.5 1 1", Box(0, 0, 140, 90, 7)),
    ],
)
def test_boxes_stay_inside_the_image_and_keep_a_pixel(kaggle: Path, line: str, box: Box) -> None:
    _write_labels(kaggle, "Train/labels/00002.txt", line)

    assert load_gtsdb(kaggle).split("train")[2].boxes == (box,)


@pytest.mark.parametrize("content", [b"", b"text, not an image"])
def test_labelled_image_without_a_header_is_listed_as_broken_and_not_used(kaggle: Path, content: bytes) -> None:
    (kaggle / "Test" / "images" / "00001.jpg").write_bytes(content)

    dataset = load_gtsdb(kaggle)

    (problem,) = audit([dataset]).data_sets[0].broken
    assert problem.image == "Test/images/00001.jpg"
    with pytest.raises(DataError, match=r"Test/images/00001\.jpg cannot be used"):
        cut_crops(dataset, "test", 24)


@pytest.mark.parametrize("place", [".", "labels", "Train/images", ".."])
def test_official_labels_replace_those_of_the_copy(gtsdb: TinyGtsdb, kaggle: Path, place: str) -> None:
    (kaggle / place).mkdir(exist_ok=True)
    shutil.copy(gtsdb.folder / "gt.txt", kaggle / place)
    _write_labels(kaggle, "Train/labels/00002.txt", "nonsense")

    for path in (kaggle, zip_folder(kaggle)):
        dataset = load_gtsdb(path)
        assert _boxes(dataset, "train") + _boxes(dataset, "test") == list(gtsdb.boxes.values())
        assert all(sample.labelled for sample in dataset.samples)
        ignored = [notice for notice in dataset.notices if "is ignored in favour of" in notice]
        assert [notice.split("/labels")[0].rpartition("/")[2][-5:] for notice in ignored] == ["Train", "Test"]
        assert not any("one box for each" in notice or "class 100" in notice for notice in dataset.notices)
        assert any("labels are those of" in notice for notice in dataset.notices) == (place == "..")


def test_official_labels_of_the_training_split_leave_the_test_split_to_the_copy(gtsdb: TinyGtsdb, kaggle: Path) -> None:
    lines = (gtsdb.folder / "gt.txt").read_text().splitlines(keepends=True)
    (kaggle / "gt.txt").write_text("".join(line for line in lines if line < "00600"))

    dataset = load_gtsdb(kaggle)

    assert _boxes(dataset, "train") + _boxes(dataset, "test") == list(gtsdb.boxes.values())
    assert any(notice.startswith("Train/labels is ignored") for notice in dataset.notices)
    assert any(notice.startswith("Test/labels has positions") for notice in dataset.notices)


def test_official_labels_serve_images_whose_own_labels_are_gone(gtsdb: TinyGtsdb, kaggle: Path) -> None:
    shutil.copy(gtsdb.folder / "gt.txt", kaggle)
    for split in ("Train", "Test"):
        shutil.rmtree(kaggle / split / "labels")

    dataset = load_gtsdb(kaggle)

    assert _boxes(dataset, "train") + _boxes(dataset, "test") == list(gtsdb.boxes.values())
    assert dataset.notices == ()


def test_other_numbering_than_that_of_the_official_labels_is_reported(gtsdb: TinyGtsdb, kaggle: Path) -> None:
    shutil.copy(gtsdb.folder / "gt.txt", kaggle)
    assert not any("number its scenes otherwise" in notice for notice in load_gtsdb(kaggle).notices)
    for folder in ("images", "labels"):
        for file in sorted((kaggle / "Test" / folder).iterdir(), reverse=True):
            file.rename(file.with_stem(f"{int(file.stem) + 1:05}"))

    notices = load_gtsdb(kaggle).notices

    (warning,) = [notice for notice in notices if "number its scenes otherwise" in notice]
    assert warning.startswith("only 0 of 4 boxes in Test/labels")


def test_official_folder_beside_the_copy_is_preferred(gtsdb: TinyGtsdb, kaggle: Path) -> None:
    shutil.copytree(gtsdb.folder, kaggle.parent / "FullIJCNN2013")

    dataset = load_gtsdb(kaggle.parent)

    assert [sample.boxes for sample in dataset.samples] == list(gtsdb.boxes.values())
    assert {sample.image.split("/")[0] for sample in dataset.samples} == {"FullIJCNN2013"}
    assert dataset.notices == ()
