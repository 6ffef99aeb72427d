"""Tests of feedback about real street scenes, as phones take and send them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.corrections import encoded, entry_id, sign, write_entry
from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from traffic_signs.preprocessing import decode
from training.data.crops import cut_crops
from training.data.feedback import entry_of, load_feedback
from training.data.gtsdb import load_gtsdb
from training.data.records import Dataset, Sample
from training.data.repeats import without_repeats
from training.detector.scenes import load_scenes

pytestmark = NEEDS_GTSDB

SCENES = 8


@pytest.fixture(scope="module")
def gtsdb() -> Dataset:
    """Returns the first scenes of the benchmark: of each split so many, those for training with signs."""
    whole = load_gtsdb(GTSDB)
    trains = [sample for sample in whole.split("train") if sample.boxes]
    return replace(whole, samples=(*trains[:SCENES], *whole.split("test")[:SCENES]))


@pytest.mark.parametrize("edge", [0, 0.02])
def test_sent_test_scenes_are_left_out_and_training_scenes_stay(gtsdb: Dataset, tmp_path: Path, edge: float) -> None:
    for number, sample in enumerate(gtsdb.samples):
        picture = decode(gtsdb.read(sample))
        off_x, off_y = int(edge * picture.width), int(edge * picture.height)
        picture = picture.crop((off_x, off_y, picture.width - off_x, picture.height - off_y)).resize((640, 376))
        data = encoded(np.asarray(picture), "JPEG")
        write_entry(tmp_path / "feedback", number, data, [sign(300, 100, 340, 140, number)], "jpg")

    _, feedback = without_repeats([gtsdb, load_feedback(tmp_path / "feedback")], keep_leaked=False)

    assert [entry_of(sample) for sample in feedback.samples] == [entry_id(number) for number in range(SCENES)]


def test_a_phone_held_upright_shows_the_same_signs_at_the_same_scale(gtsdb: Dataset, tmp_path: Path) -> None:
    scenes = replace(gtsdb, samples=gtsdb.samples[:2])
    for number, sample in enumerate(scenes.samples):
        _send_as_phone(tmp_path / "feedback", number, sample, decode(scenes.read(sample)))

    feedback = load_feedback(tmp_path / "feedback")

    assert feedback.left_out == ()
    theirs, ours = cut_crops(feedback, "train", 48), cut_crops(scenes, "train", 48)
    assert theirs.class_ids.tolist() == ours.class_ids.tolist()
    assert np.abs(theirs.images.astype(int) - ours.images).mean() < 4
    shrunk, whole = load_scenes(feedback, "train", within=(800, 1360)), load_scenes(scenes, "train")
    for index in range(len(whole)):
        assert shrunk.images[index].shape == whole.images[index].shape
        assert shrunk.images[index].base is None  # holds no larger picture in memory
        assert np.abs(shrunk.images[index].astype(int) - whole.images[index]).mean() < 4
        assert np.allclose(shrunk.boxes[index], whole.boxes[index], atol=0.01)


def _send_as_phone(folder: Path, number: int, sample: Sample, scene: Image.Image) -> None:
    """Writes a scene as a photograph of 12 million pixels that lies on its side until its EXIF is obeyed."""
    large = scene.resize((scene.width * 3, scene.height * 3), Image.Resampling.BICUBIC)
    stored = np.rot90(np.asarray(large))
    signs = [sign(3 * box.left, 3 * box.top, 3 * box.right, 3 * box.bottom, box.class_id) for box in sample.boxes]
    write_entry(folder, number, encoded(stored, "JPEG", orientation=6), signs, "jpg")
