"""Real images in the network's form, with the labels that belong to them."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.errors import ExportError
from export.samples import labelled_samples, real_samples
from training.checkpoint import CheckpointInfo, load_info
from training.data.load import load_data
from training.errors import DataError


def test_crops_come_with_classes_and_training_crops_to_calibrate_with(checkpoint: Path, tiny_data: str) -> None:
    info = load_info(checkpoint)
    images, labels = labelled_samples(info, tiny_data)
    assert images.shape == (3, 48, 48, 3)
    np.testing.assert_array_equal(images, real_samples(info, tiny_data))
    assert np.asarray(labels.truth).tolist() == [1, 38, 12]
    assert labels.calibration.shape == (8, 48, 48, 3)
    assert not any((each == images).all(axis=(1, 2, 3)).any() for each in labels.calibration), "test images"


def test_scenes_are_fitted_and_their_boxes_with_them(detector_checkpoint: Path, tiny_data: str) -> None:
    info = load_info(detector_checkpoint)
    small = CheckpointInfo(info.model, info.architecture, info.arguments, info.class_names, [45, 160], info.data)
    for asked, scale in ((info, 1.0), (small, 0.5)):
        images, labels = labelled_samples(asked, tiny_data)
        assert images.shape == (2, *asked.input_size, 3) and labels.calibration.shape == (4, *asked.input_size, 3)
        np.testing.assert_array_equal(images, real_samples(asked, tiny_data))
        truth = [signs.boxes for signs in labels.truth]
        boxes = [[(b.left, b.top, b.right, b.bottom) for b in s.boxes] for s in load_data(tiny_data).split("test")]
        for found, given in zip(truth, boxes, strict=True):
            np.testing.assert_allclose(found, np.array(given) * scale)


def test_a_detector_needs_scenes(detector_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "GTSRB" / "Final_Training" / "Images" / "00014"
    folder.mkdir(parents=True)
    content = io.BytesIO()
    Image.new("RGB", (30, 30)).save(content, "PPM")
    (folder / "00000_00000.ppm").write_bytes(content.getvalue())
    (folder / "GT-00014.csv").write_text(
        "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n00000_00000.ppm;30;30;5;5;24;24;14\n"
    )
    with pytest.raises(ExportError, match="has no street scenes"):
        labelled_samples(load_info(detector_checkpoint), f"gtsrb={tmp_path / 'GTSRB'}")


@pytest.mark.parametrize("read", [labelled_samples, real_samples])
def test_a_network_with_other_classes_is_refused(
    checkpoint: Path, tiny_data: str, read: Callable[[CheckpointInfo, str], object]
) -> None:
    info = load_info(checkpoint)
    other = CheckpointInfo(info.model, info.architecture, {}, ["cat", "dog"], info.input_size, info.data)
    with pytest.raises(ExportError, match=r"other classes than gtsdb=FullIJCNN2013 .*give data of its own classes"):
        read(other, tiny_data)


@pytest.mark.parametrize(("missing", "split"), [("0000", "train"), ("006", "test")])
def test_a_split_without_signs_is_named(
    checkpoint: Path, tiny_data: str, tmp_path: Path, missing: str, split: str
) -> None:

    folder = Path(shutil.copytree(tiny_data.removeprefix("gtsdb="), tmp_path / "part"))
    lines = (folder / "gt.txt").read_text().splitlines(keepends=True)
    (folder / "gt.txt").write_text("".join(line for line in lines if not line.startswith(missing)))
    with pytest.raises(DataError, match=f"no labelled signs in its {split} split"):
        labelled_samples(load_info(checkpoint), f"gtsdb={folder}")
