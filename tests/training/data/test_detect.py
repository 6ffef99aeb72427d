"""The content of a path determines the benchmark."""

import shutil
from pathlib import Path

import pytest

from tests.training.tiny_gtsdb import TinyGtsdb, zip_folder
from training.data.load import detect_kind
from training.errors import DataError


def _write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("FullIJCNN2013/gt.txt",), "gtsdb"),
        (("TrainIJCNN2013/gt.txt", "TrainIJCNN2013/00000.ppm", "TrainIJCNN2013/00/00000.ppm"), "gtsdb"),
        (("TestIJCNN2013Download/00000.ppm",), "gtsdb"),
        (("x/GTSDB_Train_and_Test/Train/images/00000.jpg", "x/GTSDB_Train_and_Test/Train/labels/00000.txt"), "gtsdb"),
        (("GTSRB/Training/00000/GT-00000.csv", "GTSRB/Training/00000/00000_00000.ppm"), "gtsrb"),
        (("GTSRB/Final_Test/Images/00000.ppm", "GTSRB/Final_Test/Images/GT-final_test.test.csv"), "gtsrb"),
        (("Final_Test/Images/00000.ppm", "GT-final_test.csv"), "gtsrb"),
        (("Train.csv", "Train/0/00000_00000_00000.png", "Test.csv", "Test/00000.png"), "gtsrb"),
    ],
)
def test_every_layout_is_reported_in_a_folder_and_in_a_zip(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    root = _write(tmp_path / "data", *names)

    assert detect_kind(root) == kind
    assert detect_kind(zip_folder(root)) == kind


def test_the_name_of_the_folder_itself_counts(tmp_path: Path) -> None:
    assert detect_kind(_write(tmp_path / "TestIJCNN2013Download", "00000.ppm")) == "gtsdb"
    assert detect_kind(_write(tmp_path / "Test", "images/00000.jpg", "labels/00000.txt")) == "gtsdb"


def test_scenes_with_labels_beside_their_folder_are_gtsdb(gtsdb: TinyGtsdb, tmp_path: Path) -> None:
    scenes = tmp_path / "elsewhere" / "scenes"
    shutil.copytree(gtsdb.folder, scenes)
    (scenes / "gt.txt").rename(scenes.parent / "gt.txt")

    assert detect_kind(scenes) == "gtsdb"


def test_thousands_of_numbered_images_beside_a_gt_txt_are_not_taken_for_scenes(tmp_path: Path) -> None:
    root = _write(tmp_path / "kaggle", "Test.csv", "Test/00000.png", "Test/12629.png")
    (tmp_path / "gt.txt").write_text("")

    assert detect_kind(root) == "gtsrb"


def test_both_in_one_folder_are_refused(tmp_path: Path) -> None:
    root = _write(tmp_path / "data", "FullIJCNN2013/gt.txt", "GTSRB/Train.csv")

    with pytest.raises(DataError, match=r"holds both GTSDB and GTSRB: say which, with gtsdb=.*data or gtsrb="):
        detect_kind(root)


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("Train/images/cat.jpg",), ("Train/images/01234.jpg",)])
def test_anything_else_is_refused_and_the_layouts_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "data").mkdir()

    with pytest.raises(
        DataError, match=r"is neither GTSDB nor GTSRB\. Give the folder or zip FullIJCNN2013.*Test\.csv"
    ):
        detect_kind(_write(tmp_path / "data", *names))


def test_missing_path_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data at"):
        detect_kind(tmp_path / "nowhere")


def test_feedback_is_known_by_its_entries(tmp_path: Path) -> None:
    name = "20261123T171500Z-1f3a9c2b"
    folder = _write(tmp_path / "answers", f"{name}/feedback.json", f"{name}/image.jpg")

    assert detect_kind(folder) == "feedback"
