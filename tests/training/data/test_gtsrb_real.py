"""Tests of the GTSRB reader on the real benchmark."""

import io

from PIL import Image

from tests.training.data.real_data import GTSRB, NEEDS_GTSRB
from training.data.gtsrb import load_gtsrb

pytestmark = NEEDS_GTSRB


def test_the_archive_has_its_1307_tracks() -> None:
    dataset = load_gtsrb(GTSRB)
    train = dataset.split("train")
    assert dataset.notices == ()
    assert len(train) == 39209
    assert len({sample.track for sample in train}) == 1307
    assert len(dataset.split("test")) == 3000
    for sample in (*train[::4000], *dataset.split("test")[::500]):
        with Image.open(io.BytesIO(dataset.read(sample))) as image:
            (box,) = sample.boxes
            assert 0 <= box.left < box.right <= image.width and 0 <= box.top < box.bottom <= image.height
