"""Tests of training data from several data sets."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.tiny_gtsdb import write_tiny_gtsdb
from traffic_signs.progress import silent
from training.data.dataset_mix import gather_crops, open_sources
from training.data.gtsdb import load_gtsdb
from training.data.records import Box, Dataset, Drawings, Sample
from training.errors import DataError

SIZE = 24


def _png(seed: int, brighter: int = 0) -> bytes:
    """Returns a picture that is like no other of another seed, and almost like the one of the same seed."""
    coarse = np.random.default_rng(seed).integers(20, 200, (6, 6, 3)) + brighter
    buffer = io.BytesIO()
    Image.fromarray(coarse.astype(np.uint8)).resize((48, 48), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def _dataset(kind: str, samples: list[tuple[Sample, bytes]]) -> Dataset:
    content = {(sample.split, sample.image): data for sample, data in samples}
    read: Callable[[Sample], bytes] = lambda sample: content[sample.split, sample.image]  # noqa: E731
    return Dataset(f"{kind}=here", tuple(sample for sample, _ in samples), read)


@pytest.fixture
def gtsrb() -> Dataset:
    """Returns three tracks of two frames, of classes 1, 1 and 2."""
    box = (0, 0, 48, 48)
    return _dataset(
        "gtsrb",
        [
            (Sample(f"{track}_{frame}.png", "train", (Box(*box, class_id),), f"t{track}"), _png(track, 3 * frame))
            for track, class_id in ((10, 1), (11, 1), (12, 2))
            for frame in (0, 1)
        ],
    )


@pytest.fixture
def gtsdb() -> Dataset:
    """Returns a training scene, and a test scene that shows the sign of GTSRB's track 11."""
    box = Box(0, 0, 48, 48, 1)
    return _dataset(
        "gtsdb",
        [(Sample("00000.png", "train", (box,)), _png(30)), (Sample("00600.png", "test", (box,)), _png(11, 20))],
    )


def test_one_data_set_is_as_it_is(gtsdb: Dataset) -> None:
    data = gather_crops([gtsdb], SIZE, 0, False, silent)

    assert (len(data.train), list(data.tests)) == (1, ["gtsdb"])
    assert data.notices == (
        "no training sign shows 42 of the 43 classes, so that they are not learned: 0, 2, 3, 4, 5 and others",
    )
    assert data.train.sources == ("00000.png",)
    assert data.facts() == {
        "name": "gtsdb=here",
        "fingerprint": data.train.fingerprint,
        "free_of": "gtsdb",
    }


def test_tracks_that_show_test_signs_are_left_out_and_reported(gtsdb: Dataset, gtsrb: Dataset) -> None:
    data = gather_crops([gtsdb, gtsrb], SIZE, 0, False, silent)

    assert data.free_of == ("gtsdb",)
    assert {source.rpartition("/")[2] for source in data.train.sources} == {"00000.png", "t10", "t12"}
    assert f"1 track of {gtsrb.name} (2 crops) show test signs of {gtsdb.name} and are left out" in data.notices[0]


def test_leaked_tracks_can_be_kept_and_make_other_data(gtsdb: Dataset, gtsrb: Dataset) -> None:
    kept = gather_crops([gtsdb, gtsrb], SIZE, 0, True, silent)

    assert (len(kept.train), kept.free_of) == (7, ())
    assert not any("left out" in notice for notice in kept.notices)
    assert kept.train.fingerprint != gather_crops([gtsdb, gtsrb], SIZE, 0, False, silent).train.fingerprint


def test_scenes_that_show_test_signs_of_gtsrb_are_left_out_as_well(gtsdb: Dataset, gtsrb: Dataset) -> None:
    test = Sample("test.png", "test", (Box(0, 0, 48, 48, 1),))
    test_set = replace(
        gtsrb, samples=(*gtsrb.samples, test), read=lambda each: _png(30) if each is test else gtsrb.read(each)
    )
    more = Sample("00001.png", "train", (Box(0, 0, 48, 48, 1),))
    scenes = replace(
        gtsdb, samples=(*gtsdb.samples, more), read=lambda each: _png(77) if each is more else gtsdb.read(each)
    )

    data = gather_crops([scenes, test_set], SIZE, 0, False, silent)

    assert {source.rpartition("/")[2] for source in data.train.sources} == {"00001.png", "t10", "t12"}
    assert any(f"1 image of {gtsdb.name} (1 crops) show test signs" in notice for notice in data.notices)


def test_gtsrb_alone_loses_no_track(gtsrb: Dataset) -> None:
    data = gather_crops([gtsrb], SIZE, 0, False, silent)

    assert (len(data.train), data.tests, data.free_of) == (6, {}, ())


def test_it_is_known_which_crops_are_drawn(gtsdb: Dataset) -> None:
    data = gather_crops([Drawings(5), gtsdb], SIZE, 0, False, silent)

    assert data.is_drawn.tolist() == [True] * 5 + [False]


def test_drawings_are_learned_from_and_never_evaluated_on(gtsdb: Dataset) -> None:
    data = gather_crops([gtsdb, Drawings(43)], SIZE, 0, False, silent)

    assert len(data.train) == 44
    assert sorted(set(data.train.class_ids.tolist())) == list(range(43))
    assert list(data.tests) == ["gtsdb"]
    assert (data.name, data.notices) == ("gtsdb=here, synthetic=43", ())


def test_images_of_one_name_in_two_data_sets_are_two_sources(gtsdb: Dataset) -> None:
    other = replace(gtsdb, name="gtsrb=there", samples=gtsdb.samples[:1])

    data = gather_crops([gtsdb, other], SIZE, 0, False, silent)

    assert len(set(data.train.sources)) == 2


@pytest.mark.parametrize(("position", "split"), [(0, "training"), (1, "test")])
def test_two_copies_of_a_split_are_a_data_error(gtsdb: Dataset, position: int, split: str) -> None:
    copy = replace(gtsdb, name="gtsdb=there", samples=(gtsdb.samples[position],))

    with pytest.raises(DataError, match=f"two data sets of the kind gtsdb have a {split} split: give one of them"):
        gather_crops([gtsdb, copy], SIZE, 0, False, silent)


def test_training_and_test_split_may_lie_apart(gtsdb: Dataset) -> None:
    parts = [replace(gtsdb, name=f"gtsdb={sample.split}", samples=(sample,)) for sample in gtsdb.samples]

    data = gather_crops(parts, SIZE, 0, False, silent)

    assert (len(data.train), len(data.tests["gtsdb"])) == (1, 1)


def test_nothing_to_learn_from_is_a_data_error(gtsdb: Dataset) -> None:
    with pytest.raises(DataError, match="there are no labelled training signs in the data"):
        gather_crops([replace(gtsdb, samples=gtsdb.samples[1:])], SIZE, 0, False, silent)


def test_notices_name_their_data_set(gtsdb: Dataset) -> None:
    data = gather_crops([replace(gtsdb, notices=("half of it is missing",))], SIZE, 0, False, silent)

    assert data.notices[0] == "gtsdb=here: half of it is missing"


def test_sources_are_opened_as_the_command_line_names_them(tmp_path: Path) -> None:
    tiny = write_tiny_gtsdb(tmp_path)

    first, second = open_sources([f"gtsdb={tiny.folder}", "synthetic=50"])

    assert isinstance(first, Dataset) and first.samples == load_gtsdb(tiny.folder).samples
    assert second == Drawings(50)


@pytest.mark.parametrize("count", ["", "0", "-3", "many", "1.5", "1000001", "²"])
def test_number_of_drawings_must_be_one(count: str) -> None:
    with pytest.raises(DataError, match="give the number of signs to draw, 1 to 1,000,000, such as synthetic=20000"):
        open_sources([f"synthetic={count}"])


@pytest.mark.parametrize("other", ["synthetic=5", "synthetic=6"])
def test_drawings_given_twice_are_a_data_error(other: str) -> None:
    with pytest.raises(DataError, match="synthetic=N is given twice"):
        open_sources(["synthetic=5", other])


def test_data_set_given_twice_is_a_data_error_and_equal_names_are_not(tmp_path: Path) -> None:
    tiny = write_tiny_gtsdb(tmp_path)
    with pytest.raises(DataError, match=r"given twice: name each data set once"):
        open_sources([f"gtsdb={tiny.folder}", str(tiny.folder)])
    copy = shutil.copytree(tiny.folder, tmp_path / "copy" / tiny.folder.name)

    both = open_sources([f"gtsdb={tiny.folder}", f"gtsdb={copy}"])

    assert [each.name for each in both] == [f"gtsdb={tiny.folder}", f"gtsdb={copy}"]
