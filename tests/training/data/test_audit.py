"""Tests of the audit: whole data sets give no finding, and each planted defect gives its own and no other."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from tests.training.data.corrections import encoded, entry_id, sign, write_entry
from tests.training.data.textured import ROI, SCENE_SIDE, TILE, leak, texture, write_scenes, write_tracks
from training.data.audit import Audit, audit
from training.data.feedback import load_feedback
from training.data.gtsdb import load_gtsdb
from training.data.gtsrb import load_gtsrb
from training.data.repeats import without_repeats
from training.errors import DataError


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path)


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    return write_tracks(tmp_path)


def audit_both(scenes: Path, tracks: Path) -> Audit:
    return audit([load_gtsdb(scenes), load_gtsrb(tracks)])


def findings(found: Audit) -> dict[str, int]:
    """Returns how many of each there are, without those of which there are none."""
    counts = {
        "broken": sum(len(facts.broken) for facts in found.data_sets),
        "bad boxes": sum(len(facts.bad_boxes) for facts in found.data_sets),
        "double boxes": sum(len(facts.double_boxes) for facts in found.data_sets),
        "divided tracks": sum(len(facts.divided_tracks) for facts in found.data_sets),
        "tracks of two classes": sum(len(facts.tracks_of_two_classes) for facts in found.data_sets),
        "notices": sum(len(facts.notices) for facts in found.data_sets),
        "empty classes": sum(len(each.empty_classes) for facts in found.data_sets for each in facts.splits.values()),
        "unlabelled": sum(each.unlabelled for facts in found.data_sets for each in facts.splits.values()),
        "repeated signs": sum(comparison.repeated_signs for comparison in found.comparisons),
    }
    for duplicate in found.duplicates:
        counts[duplicate.reach] = counts.get(duplicate.reach, 0) + 1
    return {what: count for what, count in counts.items() if count}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_whole_data_sets_give_no_finding(scenes: Path, tracks: Path) -> None:
    found = audit_both(scenes, tracks)

    assert findings(found) == {}
    assert found.problems == 0
    assert [(each.train, each.test) for each in found.comparisons] == [
        ("gtsdb=FullIJCNN2013", "gtsdb=FullIJCNN2013"),
        ("gtsdb=FullIJCNN2013", "gtsrb=GTSRB"),
        ("gtsrb=GTSRB", "gtsdb=FullIJCNN2013"),
        ("gtsrb=GTSRB", "gtsrb=GTSRB"),
    ]


def test_images_signs_classes_and_sizes_are_counted(scenes: Path, tracks: Path) -> None:
    gtsdb, gtsrb = audit_both(scenes, tracks).data_sets

    train, test = gtsdb.splits["train"], gtsdb.splits["test"]
    assert (train.images, train.signs, train.without_signs) == (2, 43, 1)
    assert (test.images, test.signs, test.without_signs) == (1, 43, 0)
    assert train.long_sides == {32: 43}
    assert gtsrb.splits["train"].signs_per_class == (2,) * 43
    assert gtsrb.splits["test"].signs_per_class == (1,) * 43


def test_crops_are_those_of_the_signs(scenes: Path) -> None:
    signs = audit([load_gtsdb(scenes)]).signs

    assert {key: len(each.crops) for key, each in signs.items()} == {
        ("gtsdb=FullIJCNN2013", "train"): 43,
        ("gtsdb=FullIJCNN2013", "test"): 43,
    }
    assert set(signs["gtsdb=FullIJCNN2013", "test"].images) == {"00600.png"}


@pytest.mark.parametrize("cut", [False, True], ids=["text", "cut short"])
def test_broken_image_is_listed_and_the_audit_continues(scenes: Path, tracks: Path, cut: bool) -> None:
    image = tracks / "Train" / "7" / "00007_00000_00001.png"
    image.write_bytes(image.read_bytes()[:-300] if cut else b"text")

    found = audit_both(scenes, tracks)

    assert findings(found) == {"broken": 1}
    (problem,) = found.data_sets[1].broken
    assert problem.image == "Train/7/00007_00000_00001.png"
    assert ("damaged" if cut else "not an image") in problem.what
    assert len(found.signs["gtsrb=GTSRB", "train"].crops) == 85


def test_image_without_signs_is_decoded_too(scenes: Path, tracks: Path) -> None:
    (scenes / "00001.png").write_bytes(b"text")

    assert findings(audit_both(scenes, tracks)) == {"broken": 1}


def test_image_that_vanished_is_listed_as_broken(scenes: Path) -> None:
    dataset = load_gtsdb(scenes)
    (scenes / "00001.png").unlink()

    found = audit([dataset])

    assert findings(found) == {"broken": 1}
    assert "cannot be read" in found.data_sets[0].broken[0].what


@pytest.mark.parametrize("right", [SCENE_SIDE, 5 * SCENE_SIDE])
def test_box_that_reaches_outside_is_listed(scenes: Path, tracks: Path, right: int) -> None:
    change(scenes / "gt.txt", "00000.ppm;244;4;275;35;6", f"00000.ppm;{right - 36};4;{right};35;6")

    found = audit_both(scenes, tracks)

    assert findings(found) == {"bad boxes": 1}
    (problem,) = found.data_sets[0].bad_boxes
    assert problem.image == "00000.png"
    assert f"to {right + 1},36 reaches outside the image of 280x280 pixels" in problem.what


def test_box_that_touches_the_edge_is_no_finding(scenes: Path, tracks: Path) -> None:
    change(scenes / "gt.txt", "00000.ppm;244;4;275;35;6", f"00000.ppm;244;4;{SCENE_SIDE - 1};35;6")

    assert findings(audit_both(scenes, tracks)) == {}


def test_box_without_area_is_listed(scenes: Path) -> None:
    dataset = load_gtsdb(scenes)
    first, *others = dataset.samples
    flat = replace(first.boxes[0], right=first.boxes[0].left)
    sample = replace(first, boxes=(flat, *first.boxes[1:]))

    found = audit([replace(dataset, samples=(sample, *others))])

    assert findings(found) == {"bad boxes": 1}
    assert "has no area" in found.data_sets[0].bad_boxes[0].what
    assert len(found.signs["gtsdb=FullIJCNN2013", "train"].crops) == 42


def test_box_that_is_labelled_twice_is_listed_and_no_problem(scenes: Path) -> None:
    with (scenes / "gt.txt").open("a") as file:
        file.write("00000.ppm;244;4;275;35;6\n00000.ppm;244;4;275;35;9\n")

    found = audit([load_gtsdb(scenes)])

    assert findings(found) == {"double boxes": 1}
    (double,) = found.data_sets[0].double_boxes
    assert (double.image, double.what) == ("00000.png", "the box from 244,4 to 276,36 has the classes 6, 6, 9")
    assert found.problems == 0


@pytest.mark.parametrize(("number", "reach"), [("00002", "within a split"), ("00601", "across splits")])
def test_same_bytes_twice_are_a_duplicate(scenes: Path, tracks: Path, number: str, reach: str) -> None:
    shutil.copy(scenes / "00001.png", scenes / f"{number}.png")

    found = audit_both(scenes, tracks)

    assert findings(found) == {reach: 1}
    assert [image for _, _, image in found.duplicates[0].images] == ["00001.png", f"{number}.png"]
    assert not found.duplicates[0].labels_differ


def test_same_bytes_in_two_data_sets_are_a_duplicate(scenes: Path, tracks: Path) -> None:
    shutil.copy(tracks / "Test" / "00042.png", scenes / "00002.png")

    found = audit_both(scenes, tracks)

    assert findings(found) == {"across data sets": 1}
    assert found.duplicates[0].labels_differ  # a sign in one, none in the other


def test_same_bytes_under_two_classes_are_distinguished(tracks: Path) -> None:
    shutil.copy(tracks / "Test" / "00003.png", tracks / "Test" / "00004.png")

    found = audit([load_gtsrb(tracks)])

    assert findings(found) == {"within a split": 1}
    assert found.duplicates[0].labels_differ


def test_leaked_track_is_found_with_all_its_images(scenes: Path, tracks: Path) -> None:
    track = leak(scenes, tracks, 9)

    found = audit_both(scenes, tracks)

    assert findings(found) == {"repeated signs": 1}
    (comparison,) = [each for each in found.comparisons if each.leakage.repeats]
    assert (comparison.train, comparison.test) == ("gtsrb=GTSRB", "gtsdb=FullIJCNN2013")
    assert comparison.leakage.tracks == (track,)
    assert (comparison.test_signs, comparison.images) == (43, 2)
    (repeat,) = comparison.leakage.repeats
    assert found.signs["gtsrb=GTSRB", "train"].images[repeat.train] == f"Train/9/{track}_00001.jpg"


def test_empty_class_is_found(scenes: Path, tracks: Path) -> None:
    change(tracks / "Test.csv", f"{TILE},{TILE},{ROI},7,Test/00007.png\n", "")

    found = audit_both(scenes, tracks)

    assert findings(found) == {"empty classes": 1}
    assert found.data_sets[1].splits["test"].empty_classes == (7,)


def test_track_in_both_splits_is_found(tracks: Path) -> None:
    dataset = load_gtsrb(tracks)
    samples = tuple(
        replace(sample, track="00000_00000") if sample.boxes[0].class_id == 0 else sample for sample in dataset.samples
    )

    found = audit([replace(dataset, samples=samples)])

    assert findings(found) == {"divided tracks": 1}
    assert found.data_sets[0].divided_tracks == ("00000_00000",)


def test_track_under_two_classes_is_found(tracks: Path) -> None:
    dataset = load_gtsrb(tracks)
    samples = tuple(
        replace(sample, track="00000_00000") if sample.track == "00001_00000" else sample for sample in dataset.samples
    )

    found = audit([replace(dataset, samples=samples)])

    assert findings(found) == {"tracks of two classes": 1}
    assert found.data_sets[0].tracks_of_two_classes == ("00000_00000",)


def test_unlabelled_images_are_not_counted_as_images_without_signs(scenes: Path) -> None:
    dataset = load_gtsdb(scenes)
    samples = tuple(replace(sample, labelled=bool(sample.boxes)) for sample in dataset.samples)

    found = audit([replace(dataset, samples=samples)])

    assert findings(found) == {"unlabelled": 1}
    assert found.data_sets[0].splits["train"].without_signs == 0


def test_notices_of_the_reader_are_kept(scenes: Path) -> None:
    with (scenes / "gt.txt").open("a") as labels:
        labels.write("00005.ppm;4;4;35;35;1\n")

    found = audit([load_gtsdb(scenes)])

    assert findings(found) == {"notices": 1}
    assert "00005" in found.data_sets[0].notices[0]


def test_data_set_of_one_split_is_compared_with_nothing(scenes: Path) -> None:
    (scenes / "00600.png").unlink()

    found = audit([load_gtsdb(scenes)])

    assert list(found.data_sets[0].splits) == ["train"]
    assert found.comparisons == ()


def test_every_image_broken_is_still_an_audit(tracks: Path) -> None:
    dataset = load_gtsrb(tracks)
    for image in tracks.rglob("*.png"):
        image.write_bytes(image.name.encode() + str(image.parent).encode())

    found = audit([dataset])

    assert found.problems == 129
    assert found.signs == {}


def test_two_data_sets_of_one_name_are_refused(scenes: Path) -> None:
    with pytest.raises(DataError, match="both called gtsdb=FullIJCNN2013"):
        audit([load_gtsdb(scenes), load_gtsdb(scenes)])


def test_entries_that_training_leaves_out_are_counted_and_named_as_in_training(scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "feedback"
    write_entry(folder, 1, encoded(texture(77, 200)), [sign(30, 30, 90, 90, 3)])
    write_entry(folder, 2, (scenes / "00600.png").read_bytes(), [])
    write_entry(folder, 3, (scenes / "00000.png").read_bytes(), [])
    (scenes / "00001.png").write_bytes(b"text")  # a broken image of the benchmark is reported, and is no obstacle
    data_sets = [load_gtsdb(scenes), load_feedback(folder)]

    benchmark, feedback = audit(data_sets).data_sets

    whole = replace(data_sets[0], samples=tuple(each for each in data_sets[0].samples if "00001" not in each.image))
    trained = without_repeats([whole, data_sets[1]], keep_leaked=False)[1]
    assert feedback.entries is not None and benchmark.entries is None and len(benchmark.broken) == 1
    assert (feedback.entries.total, feedback.entries.used, feedback.entries.repeated) == (3, 1, 2)
    assert feedback.entries.newest == entry_id(1)
    assert feedback.notices == trained.notices and len(trained.notices) == 2


def test_progress_counts_images_and_comparisons(scenes: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    audit([load_gtsdb(scenes)], lambda what, done, total: calls.append((what, done, total)))

    assert calls == [
        *(("reading gtsdb=FullIJCNN2013", done, 3) for done in (1, 2, 3)),
        ("comparing training with test signs", 1, 1),
    ]


def test_images_in_other_formats_are_read(scenes: Path, tracks: Path) -> None:
    (scenes / "00001.png").unlink()
    Image.fromarray(texture(1, SCENE_SIDE)).save(scenes / "00001.ppm")

    assert findings(audit_both(scenes, tracks)) == {}
