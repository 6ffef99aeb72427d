"""The reader of GTSRB reads both layouts people have, whole or in part, and never loses a track."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.crops import cut_crops
from training.data.gtsrb import load_gtsrb
from training.data.records import Box
from training.errors import DataError
from training.folds import deal_folds

OFFICIAL_HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
KAGGLE_HEADER = "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n"


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((40, 30, 3), shade, np.uint8)).save(path)


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Two classes of two tracks of three frames each, and two test images; PPM, as released."""
    root = tmp_path / "GTSRB"
    for class_id in (0, 14):
        folder = root / "Final_Training" / "Images" / f"{class_id:05d}"
        lines = []
        for track in range(2):
            for frame in range(3):
                name = f"{track:05d}_{frame:05d}.ppm"
                picture(folder / name, 50 * track + 10 * frame)
                lines.append(f"{name};30;40;5;6;24;33;{class_id}\n")
        (folder / f"GT-{class_id:05d}.csv").write_text(OFFICIAL_HEADER + "".join(lines))
        (folder / "Thumbs.db").write_text("stray")
    test = root / "Final_Test" / "Images"
    for number in range(2):
        picture(test / f"{number:05d}.ppm", 90)
    (test / "GT-final_test.csv").write_text(
        OFFICIAL_HEADER + "".join(f"{n:05d}.ppm;30;40;5;6;24;33;14\n" for n in (0, 1))
    )
    return root


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """The same signs as Kaggle has them: PNG, one CSV a split, a stray file among the images."""
    root = tmp_path / "kaggle"
    lines = []
    for class_id in (0, 14):
        for track in range(2):
            for frame in range(3):
                name = f"Train/{class_id}/{class_id:05d}_{track:05d}_{frame:05d}.png"
                picture(root / name, 50 * track + 10 * frame)
                lines.append(f"30,40,5,6,24,33,{class_id},{name}\n")
    (root / "Train" / "14" / "GT-00014.txt").write_text("stray")
    (root / "Train.csv").write_text(KAGGLE_HEADER + "".join(lines))
    for number in range(2):
        picture(root / "Test" / f"{number:05d}.png", 90)
    (root / "Test.csv").write_text(KAGGLE_HEADER + "".join(f"30,40,5,6,24,33,14,Test/{n:05d}.png\n" for n in (0, 1)))
    return root


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path(folder.name) / file.relative_to(folder))
    return path


def test_both_layouts_say_the_same(official: Path, kaggle: Path) -> None:
    left, right = load_gtsrb(official), load_gtsrb(kaggle)
    for dataset in (left, right):
        assert (len(dataset.split("train")), len(dataset.split("test"))) == (12, 2)
        assert dataset.notices == ()
        assert {sample.track for sample in dataset.split("train")} == {
            "00000_00000",
            "00000_00001",
            "00014_00000",
            "00014_00001",
        }
        assert {sample.track for sample in dataset.split("test")} == {None}
    assert {(s.track, s.boxes) for s in left.samples} == {(s.track, s.boxes) for s in right.samples}


def test_the_region_of_interest_becomes_exclusive(official: Path) -> None:
    assert load_gtsrb(official).samples[0].boxes == (Box(5, 6, 25, 34, 14),)


@pytest.mark.parametrize("layout", ["official", "kaggle"])
def test_a_zip_reads_as_its_folder(layout: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(layout)
    from_folder = cut_crops(load_gtsrb(folder), "train", 48)
    from_zip = cut_crops(load_gtsrb(zipped(folder)), "train", 48)
    assert np.array_equal(from_folder.images, from_zip.images)
    assert from_folder.fingerprint == from_zip.fingerprint


def test_folds_never_divide_a_track(official: Path) -> None:
    crops = cut_crops(load_gtsrb(official), "train", 48)
    for held in deal_folds(crops.sources, 2, seed=0):
        inside = {crops.sources[index] for index in held}
        outside = {crops.sources[index] for index in np.setdiff1d(np.arange(len(crops)), held)}
        assert not inside & outside and len(inside) == 2


def test_images_under_another_suffix_are_found(kaggle: Path) -> None:
    for file in list(kaggle.rglob("*.png")):
        with Image.open(file) as image:
            image.save(file.with_suffix(".jpg"))
        file.unlink()
    assert len(load_gtsrb(kaggle).samples) == 14


def test_listed_images_that_are_absent_are_reported(kaggle: Path) -> None:
    (kaggle / "Test" / "00001.png").unlink()
    dataset = load_gtsrb(kaggle)
    assert len(dataset.split("test")) == 1
    assert dataset.notices[0] == "1 listed images are not here, such as Test/00001.png"


def test_one_part_alone_is_enough(official: Path) -> None:
    assert not load_gtsrb(official / "Final_Training").split("test")
    assert not load_gtsrb(official / "Final_Test").split("train")


@pytest.fixture
def archives(official: Path, tmp_path: Path) -> Path:
    """The same signs as the archives of today leave them in one folder: the test labels lie apart from the images."""
    root = tmp_path / "today"
    (root / "GTSRB").mkdir(parents=True)
    shutil.copytree(official / "Final_Training" / "Images", root / "GTSRB" / "Training")
    test = root / "GTSRB" / "Final_Test" / "Images"
    shutil.copytree(official / "Final_Test" / "Images", test)
    labels = (test / "GT-final_test.csv").rename(root / "GT-final_test.csv").read_text()
    without_class = [line.rpartition(";")[0] + "\n" for line in labels.splitlines()]
    (test / "GT-final_test.test.csv").write_text("".join(without_class))
    return root


def test_the_archives_of_today_say_the_same(official: Path, archives: Path) -> None:
    left, right = load_gtsrb(official), load_gtsrb(archives)
    assert right.notices == left.notices
    assert {(Path(s.image).name, s.track, s.boxes, s.labelled) for s in left.samples} == {
        (Path(s.image).name, s.track, s.boxes, s.labelled) for s in right.samples
    }
    assert cut_crops(left, "test", 32).fingerprint == cut_crops(load_gtsrb(zipped(archives)), "test", 32).fingerprint


def test_test_images_without_labels_are_unlabelled(archives: Path) -> None:
    (archives / "GT-final_test.csv").unlink()
    dataset = load_gtsrb(archives)
    assert [(s.labelled, s.boxes) for s in dataset.split("test")] == 2 * [(False, ())]
    assert all(sample.labelled for sample in dataset.split("train"))
    assert "the 2 test images have no labels: unpack GTSRB_Final_Test_GT.zip" in dataset.notices[-1]
    alone = load_gtsrb(archives / "GTSRB" / "Final_Test")
    assert [sample.image for sample in alone.samples] == ["Images/00000.ppm", "Images/00001.ppm"]
    assert len(alone.notices) == 1


def test_test_labels_above_the_images_are_enough(archives: Path) -> None:
    (archives / "GT-final_test.csv").rename(archives / "GTSRB" / "Final_Test" / "GT-final_test.csv")
    assert load_gtsrb(archives).notices == load_gtsrb(archives / "GTSRB" / "Training").notices
    for path in (archives, archives / "GTSRB", archives / "GTSRB" / "Final_Test"):
        assert [s.boxes[0].class_id for s in load_gtsrb(path).split("test")] == [14, 14]


def test_test_labels_win_over_the_list_without_classes_wherever_they_lie(archives: Path) -> None:
    (archives / "labels").mkdir()  # read after GTSRB
    (archives / "GT-final_test.csv").rename(archives / "labels" / "GT-final_test.csv")
    assert all(sample.labelled for sample in load_gtsrb(archives).samples)


def test_test_labels_in_two_places_count_once(archives: Path) -> None:
    shutil.copy(archives / "GT-final_test.csv", archives / "GTSRB" / "Final_Test" / "Images")
    assert len(load_gtsrb(archives).split("test")) == 2


def test_the_smaller_training_archive_adds_nothing_to_the_final_one(official: Path) -> None:
    shutil.copytree(official / "Final_Training" / "Images", official / "Training")
    train = load_gtsrb(official).split("train")
    assert len(train) == 12
    assert all(sample.image.startswith("Final_Training/") for sample in train)


def test_a_table_that_cannot_be_read_is_named(kaggle: Path) -> None:
    with (kaggle / "Train.csv").open("a") as file:
        file.write('"' + 200_000 * "x")
    with pytest.raises(DataError, match=r"Train\.csv is not a complete table, after line 13"):
        load_gtsrb(kaggle)


def test_an_image_is_not_taken_for_two_signs(kaggle: Path) -> None:
    with (kaggle / "Test.csv").open("a") as file:
        file.write("30,40,5,6,24,33,14,Test/00001.png\n")
    assert len(load_gtsrb(kaggle).split("test")) == 2
    with (kaggle / "Test.csv").open("a") as file:
        file.write("30,40,5,6,24,33,13,Test/00001.png\n")
    with pytest.raises(DataError, match=r"Test\.csv lists Test/00001\.png with another sign than the first time"):
        load_gtsrb(kaggle)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("30,40,5,6,24,33,43,Train/0/00000_00000_00000.png", "has class 43"),
        ("30,40,5,6,24,33,-1,Train/0/00000_00000_00000.png", "has class -1"),
        ("30,40,25,6,24,33,0,Train/0/00000_00000_00000.png", "without area"),
        ("30,40,-5,6,24,33,0,Train/0/00000_00000_00000.png", "outside the image"),
        ("30,40,5,6,x,33,0,Train/0/00000_00000_00000.png", "not a whole number"),
        ("30,40,5", "names no image"),
        ("30,40,5,6,24,33,0,Train/0/sign.png", "has no track in its name"),
    ],
)
def test_a_wrong_line_is_named(kaggle: Path, line: str, complaint: str) -> None:
    (kaggle / "Train.csv").write_text(KAGGLE_HEADER + line + "\n")
    with pytest.raises(DataError, match=f"Train.csv line 2.*{complaint}"):
        load_gtsrb(kaggle)


def test_a_missing_column_is_named(kaggle: Path) -> None:
    (kaggle / "Test.csv").write_text("Width,Height,Path\n30,40,Test/00000.png\n")
    with pytest.raises(DataError, match=r"Test\.csv has no column ClassId, Roi\.X1.*restore the file"):
        load_gtsrb(kaggle)


def test_a_list_without_images_is_reported(kaggle: Path) -> None:
    (kaggle / "Train.csv").write_text(KAGGLE_HEADER)
    dataset = load_gtsrb(kaggle)
    assert {sample.split for sample in dataset.samples} == {"test"}
    assert "Train.csv lists no images: restore the file" in dataset.notices


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="is not GTSRB"):
        load_gtsrb(tmp_path)


@pytest.mark.parametrize("layout", ["official", "kaggle"])
def test_rows_that_a_spreadsheet_left_empty_are_passed_over(layout: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(layout)
    whole = load_gtsrb(root)
    for table in root.rglob("*.csv"):
        head, *rows = table.read_text().splitlines()
        empty = [",,,,,,,", ";;;;;;;", "", " ; ; ", ",,,,,,,,,,"]
        table.write_text("\r\n".join([head, *empty, *rows, *empty, ""]))
    assert load_gtsrb(root).samples == whole.samples


@pytest.mark.parametrize("path", ["", "/", ".", " "])
def test_a_row_without_an_image_is_named_with_its_line(path: str, kaggle: Path) -> None:
    table = kaggle / "Train.csv"
    table.write_text(f"{table.read_text()},,,,,,,\n\n30,40,5,6,24,33,0,{path}\n")
    number = len(table.read_text().splitlines())
    with pytest.raises(DataError, match=rf"Train\.csv line {number} names no image"):
        load_gtsrb(kaggle)


def test_paths_with_backslashes_are_read(kaggle: Path) -> None:
    whole = load_gtsrb(kaggle)
    for table in kaggle.glob("*.csv"):
        table.write_text(table.read_text().replace("/", "\\"))
    assert load_gtsrb(kaggle).samples == whole.samples
