"""Tests of the reader of feedback: what counts, and what is left out and why."""

import hashlib
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.corrections import encoded, entry_id, sign, write_entry
from tests.training.data.own_data import NAMES, write_image_folders
from tests.training.data.textured import texture
from tests.training.tiny_gtsdb import zip_folder
from traffic_signs.classes import CLASS_NAMES, GERMAN_SIGNS, ClassSet
from training.data.crops import cut_crops
from training.data.feedback import load_feedback
from training.data.load import load_data, load_together
from training.data.records import MOST_LISTED, Box
from training.errors import DataError

GOOD = [sign(4, 4, 36, 36, 14)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns feedback of three entries, the last without a sign."""
    folder = tmp_path / "feedback"
    write_entry(folder, 1, encoded(texture(1)), [sign(4, 4, 36, 36, 14), sign(0.4, 0.6, 9.5, 10.49, 2)])
    write_entry(folder, 2, encoded(texture(2), "JPEG"), [sign(0, 0, 40, 40, 42)], "jpg")
    write_entry(folder, 3, encoded(texture(3)), [])
    return folder


def test_entries_are_training_samples_sorted_by_id(folder: Path) -> None:
    dataset = load_feedback(folder)

    assert dataset.name == "feedback=feedback" and dataset.kind == "feedback" and dataset.has_scenes
    assert [sample.image for sample in dataset.samples] == [
        f"{entry_id(1)}/image.png",
        f"{entry_id(2)}/image.jpg",
        f"{entry_id(3)}/image.png",
    ]
    first, second, third = dataset.samples
    assert first.boxes == (Box(4, 4, 36, 36, 14), Box(0, 1, 10, 10, 2))  # floats are rounded to whole pixels
    assert second.boxes == (Box(0, 0, 40, 40, 42),)
    assert third.boxes == () and third.labelled  # looked at, and no sign in it
    assert {sample.split for sample in dataset.samples} == {"train"}
    assert dataset.read(second) == (folder / entry_id(2) / "image.jpg").read_bytes()
    assert (dataset.notices, dataset.left_out, dataset.superseded, dataset.all_notices()) == ((), (), (), ())


def test_folder_zip_and_path_alone_are_the_same(folder: Path) -> None:
    samples = load_feedback(folder).samples

    zipped = load_data(f"feedback={zip_folder(folder)}")

    assert load_data(str(folder)).samples == load_data(f"feedback={folder}").samples == samples
    assert [sample.boxes for sample in zipped.samples] == [sample.boxes for sample in samples]
    assert zipped.read(zipped.samples[0]) == (folder / entry_id(1) / "image.png").read_bytes()


def test_entries_not_yet_whole_and_other_files_are_no_entries(folder: Path) -> None:
    whole = load_feedback(folder)
    partial = write_entry(folder, 4, encoded(texture(4)), GOOD)
    partial.rename(folder / f".partial-{partial.name}")
    (folder / "README.txt").write_text("of the operators")
    (folder / "lost+found").mkdir()
    (folder / entry_id(1) / ".nfs0001").write_text("")

    found = load_feedback(folder)

    assert (found.samples, found.left_out) == (whole.samples, ())


def test_boxes_are_those_of_the_picture_turned_upright(tmp_path: Path) -> None:
    upright = np.zeros((60, 40, 3), np.uint8)
    upright[40:56, 4:20] = (200, 30, 30)
    stored = np.rot90(upright)  # a camera held upright stores its picture so, and says 6: turn it clockwise
    write_entry(tmp_path, 1, encoded(stored, "JPEG", orientation=6), [sign(4, 40, 20, 56, 1)], "jpg")

    dataset = load_feedback(tmp_path)
    crops = cut_crops(dataset, "train", 24)

    assert dataset.left_out == ()
    inner = crops.images[0, 6:18, 6:18].astype(int)
    assert (abs(inner - (200, 30, 30)) < 25).all()


def test_newest_correction_of_a_picture_counts(folder: Path) -> None:
    write_entry(folder, 5, encoded(texture(1)), [sign(4, 4, 36, 36, 13)])
    write_entry(folder, 7, encoded(texture(1)), [sign(4, 4, 36, 36, 12)])
    write_entry(folder, 6, encoded(texture(1)), [])

    dataset = load_feedback(folder)

    assert [sample.image.partition("/")[0] for sample in dataset.samples] == [entry_id(2), entry_id(3), entry_id(7)]
    assert dataset.samples[-1].boxes == (Box(4, 4, 36, 36, 12),)
    assert dataset.superseded == (entry_id(1), entry_id(5), entry_id(6))
    (notice,) = dataset.all_notices()
    assert notice.startswith("3 entries, such as") and "only the newest correction counts" in notice
    digests = {hashlib.sha256(dataset.read(sample)).hexdigest() for sample in dataset.samples}
    assert len(digests) == len(dataset.samples)  # so that no picture can stand on both sides of a split


def _bomb() -> bytes:
    """Returns a PNG of a few bytes that claims 60,000 by 60,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = (60_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def _labels(**changes: object) -> Callable[[Path], object]:
    content = {"schema": 1, "signs": GOOD} | changes
    return lambda entry: (entry / "feedback.json").write_text(json.dumps(content))


def _signs(*signs: object) -> Callable[[Path], object]:
    return _labels(signs=list(signs))


def _image(data: bytes) -> Callable[[Path], object]:
    return lambda entry: (entry / "image.png").write_bytes(data)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "broken JSON": (lambda entry: (entry / "feedback.json").write_text('{"schema": 1,'), "feedback.json is not JSON"),
    "no text": (lambda entry: (entry / "feedback.json").write_bytes(b"\xff\xfe\xfd"), "feedback.json is not JSON"),
    "deep JSON": (lambda entry: (entry / "feedback.json").write_text("[" * 10**6), "feedback.json is not JSON"),
    "no object": (lambda entry: (entry / "feedback.json").write_text("[1]"), "feedback.json holds no object"),
    "other schema": (_labels(schema=3), "has schema 3, and this release reads 1 and 2"),
    "classes are text": (_labels(schema=2, signs=[], classes="stop"), "its classes are 'stop'; expected a list"),
    "a class is a number": (_labels(schema=2, signs=[], classes=[1]), "expected a list of names and categories"),
    "a class has no category": (_labels(schema=2, signs=[], classes=[{"name": "a"}]), "names and categories"),
    "no name": (_labels(schema=2), "a sign has the name None"),
    "name is a number": (_labels(schema=2, signs=[GOOD[0] | {"name": 14}]), "a sign has the name 14"),
    "no schema": (_labels(schema=None), "has schema None"),
    "true schema": (_labels(schema=True), "has schema True"),
    "no signs": (_labels(signs=None), "has no list of signs"),
    "sign is text": (_signs("stop"), "a sign is 'stop'"),
    "three corners": (_signs({"box": [1, 2, 3], "class_id": 1}), r"a box is \[1, 2, 3\]; expected"),
    "corner is text": (_signs({"box": [1, 2, "3", 4], "class_id": 1}), "a box is"),
    "corner is no number": (_signs(sign(1, 2, float("nan"), 4, 1)), "a box is"),
    "corner without end": (_signs(sign(1, 2, 10**400, 4, 1)), "a box is"),
    "box without area": (_signs(sign(5, 5, 5.3, 20, 1)), "the box of class 1 at 5,5 has no area"),
    "box turned round": (_signs(sign(20, 20, 5, 5, 1)), "has no area"),
    "box outside": (_signs(*GOOD, sign(30, 30, 50, 50, 1)), "reaches outside the image of 40x40 pixels"),
    "box left of it": (_signs(sign(-3, 0, 20, 20, 1)), "reaches outside"),
    "unknown class": (_signs(sign(1, 1, 9, 9, 43)), "a sign has class 43; ids are 0 to 42"),
    "class below": (_signs(sign(1, 1, 9, 9, -1)), "a sign has class -1"),
    "class is true": (_signs(sign(1, 1, 9, 9, True)), "a sign has class True"),
    "class is missing": (_signs({"box": [1, 1, 9, 9]}), "a sign has class None"),
    "no image": (lambda entry: (entry / "image.png").unlink(), "it has no image"),
    "no labels": (lambda entry: (entry / "feedback.json").unlink(), "it has no feedback.json"),
    "two images": (lambda entry: (entry / "image.jpg").write_bytes(b"x"), "it has 2 images: keep one"),
    "empty image": (_image(b""), r"its image cannot be used: it is not an image .*\(0 bytes\)"),
    "no picture": (_image(b"<svg/>"), "its image cannot be used: it is not an image"),
    "half a picture": (_image(encoded(texture(9))[:2000]), "its image cannot be used: it is damaged"),
    "bomb": (_image(_bomb()), r"its image cannot be used: it is too large \(60000x60000 pixels\)"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_entry_is_left_out_and_reported_and_the_others_stay(folder: Path, what: str) -> None:
    spoil, message = BAD[what]
    good = load_feedback(folder).samples
    spoil(write_entry(folder, 9, encoded(texture(9)), GOOD))

    dataset = load_feedback(folder)

    assert dataset.samples == good
    (problem,) = dataset.left_out
    assert problem.image == entry_id(9)
    assert re.search(message, problem.what), problem.what
    assert len(problem.what) < 300
    first, last = dataset.all_notices()
    assert first.startswith(f"{entry_id(9)} is left out: ") and last.startswith("1 of its entries is left out")


def test_an_older_entry_counts_where_the_newer_one_cannot_be_used(folder: Path) -> None:
    write_entry(folder, 9, encoded(texture(1)), [sign(0, 0, 90, 90, 1)])

    dataset = load_feedback(folder)

    assert len(dataset.samples) == 3 and dataset.superseded == ()


def test_what_is_reported_of_many_bad_entries_is_bounded(folder: Path) -> None:
    for number in range(10, 30):
        write_entry(folder, number, b"no image", GOOD)

    dataset = load_feedback(folder)

    assert len(dataset.left_out) == 20
    assert len(dataset.all_notices()) == MOST_LISTED + 1 and dataset.all_notices()[-1].startswith(
        "20 of its entries are left out"
    )


def test_fingerprint_follows_boxes_classes_and_bytes(folder: Path) -> None:
    def fingerprint() -> str:
        return cut_crops(load_feedback(folder), "train", 24).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    write_entry(folder, 4, encoded(texture(4)), [])  # no sign: nothing for the classifier
    assert fingerprint() == before
    write_entry(folder, 5, encoded(texture(1)), [sign(4, 4, 36, 36, 13), sign(0, 1, 10, 10, 2)])  # another class
    assert fingerprint() != before


@pytest.mark.parametrize("content", ["nothing", "only what is being written", "only loose files"])
def test_folder_without_an_entry_is_refused(tmp_path: Path, content: str) -> None:
    if content == "only what is being written":
        entry = write_entry(tmp_path, 1, encoded(texture(1)), GOOD)
        entry.rename(tmp_path / f".partial-{entry.name}")
    elif content == "only loose files":
        (tmp_path / "image.png").write_bytes(encoded(texture(1)))
        (tmp_path / "feedback.json").write_text("{}")
    with pytest.raises(DataError, match=r"there is no feedback in .*: give the folder that the gateway writes"):
        load_data(f"feedback={tmp_path}")


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no data at .*nowhere"):
        load_data(f"feedback={tmp_path / 'nowhere'}")


def test_feedback_is_never_a_test(folder: Path) -> None:
    with pytest.raises(DataError, match="feedback=feedback has only training data"):
        cut_crops(load_feedback(folder), "test", 24)


def _own(folder: Path, number: int, names: list[str], signs: list[tuple[int, str]]) -> None:
    """Writes an entry about models of other classes; a category is what a name begins with."""
    entry = write_entry(folder, number, encoded(texture(number)), [])
    content = {
        "schema": 2,
        "signs": [sign(4, 4, 36, 36, class_id) | {"name": name} for class_id, name in signs],
        "classes": [{"name": name, "category": name[0]} for name in names],
    }
    (entry / "feedback.json").write_text(json.dumps(content))


def test_signs_are_known_by_their_names_and_ids_are_those_of_the_data(tmp_path: Path) -> None:
    """The models that were corrected had other ids: the folder of a class was added since."""
    folder, names = tmp_path / "feedback", ["owl", "red disc", "red square"]
    _own(folder, 1, names, [(1, "red disc"), (2, "red square")])
    _own(folder, 2, names, [(0, "owl")])
    mine, found = load_together([f"images={write_image_folders(tmp_path / 'mine', 4)}", f"feedback={folder}"])

    assert found.classes == mine.classes
    assert [box.class_id for box in found.samples[0].boxes] == [NAMES.index("red disc"), NAMES.index("red square")]
    (problem,) = found.left_out
    assert (problem.image, problem.what) == (entry_id(2), "a sign is 'owl', which is not a class of images=mine")


def test_feedback_alone_has_the_classes_of_its_newest_entry(tmp_path: Path) -> None:
    _own(tmp_path, 1, ["Fuchs", "Uhu"], [(1, "Uhu")])
    _own(tmp_path, 2, ["Bär", "Fuchs", "Fisch", "Uhu"], [(1, "Fuchs"), (3, "Uhu")])
    write_entry(tmp_path, 3, encoded(texture(3)), [])
    found = load_feedback(tmp_path)

    assert found.classes == ClassSet(("Bär", "Fuchs", "Fisch", "Uhu"), ("B", "F", "U"), (0, 1, 1, 2))
    assert [[box.class_id for box in sample.boxes] for sample in found.samples] == [[3], [1, 3], []]


def test_german_signs_are_german_signs_whatever_the_order_of_the_categories(tmp_path: Path) -> None:
    _own(tmp_path, 1, list(CLASS_NAMES), [(14, "stop")])

    assert load_feedback(tmp_path).classes == GERMAN_SIGNS
