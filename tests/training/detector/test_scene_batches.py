"""Tests of the scenes in memory and the batches that are cut out of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.tiny_gtsdb import LABELS, SCENE_SIZE, TinyGtsdb
from traffic_signs.classes import GERMAN_SIGNS
from training.data.gtsdb import load_gtsdb
from training.data.records import Box
from training.detector.scenes import Scenes, join_scenes, load_scenes
from training.detector.task import CROP_SIZE, NO_SIGN, SceneBatches
from training.errors import DataError


@pytest.fixture
def scenes(gtsdb: TinyGtsdb) -> Scenes:
    return load_scenes(load_gtsdb(gtsdb.folder), "train")


def test_scenes_hold_every_image_and_sign_and_those_without_signs(gtsdb: TinyGtsdb, scenes: Scenes) -> None:
    assert scenes.names == tuple(f"{number}.jpg" for number in LABELS if number < "00600")
    for index, number in enumerate(sorted(LABELS)[: len(scenes)]):
        wanted = gtsdb.boxes[number]
        assert scenes.images[index].shape == (SCENE_SIZE[1], SCENE_SIZE[0], 3)
        assert scenes.images[index].flags.writeable  # PyTorch warns of arrays that are not
        assert scenes.class_ids[index].tolist() == [box.class_id for box in wanted]
        assert scenes.boxes[index].tolist() == [[box.left, box.top, box.right, box.bottom] for box in wanted]
    assert len(scenes.boxes[1]) == 0


def test_scenes_larger_than_the_input_are_shrunk_with_their_boxes(gtsdb: TinyGtsdb, scenes: Scenes) -> None:
    shrunk = load_scenes(load_gtsdb(gtsdb.folder), "train", within=(45, 1000))

    assert {image.shape for image in shrunk.images} == {(45, 70, 3)}
    assert all(image.flags.writeable for image in shrunk.images)
    for small, boxes in zip(shrunk.boxes, scenes.boxes, strict=True):
        assert small.dtype == np.float32 and np.allclose(small, boxes / 2)
    assert shrunk.fingerprint == scenes.fingerprint


def test_scenes_of_several_data_sets_are_one(scenes: Scenes) -> None:
    joined = join_scenes([scenes, scenes.select(np.array([2, 0]))])

    assert joined.names == (*scenes.names, scenes.names[2], scenes.names[0])
    assert [ids.tolist() for ids in joined.class_ids[-2:]] == [scenes.class_ids[i].tolist() for i in (2, 0)]
    assert len(joined.images) == len(joined.boxes) == len(joined) and joined.fingerprint != scenes.fingerprint
    assert join_scenes([scenes]) is scenes


def test_fingerprint_follows_the_data_and_not_its_form(gtsdb: TinyGtsdb, scenes: Scenes) -> None:
    assert load_scenes(load_gtsdb(gtsdb.zip), "train").fingerprint == scenes.fingerprint
    with (gtsdb.folder / "gt.txt").open("a") as file:
        file.write("00001.ppm;10;10;30;30;5\n")
    assert load_scenes(load_gtsdb(gtsdb.folder), "train").fingerprint != scenes.fingerprint


def test_broken_scene_box_outside_and_missing_labels_are_reported(gtsdb: TinyGtsdb) -> None:
    dataset = load_gtsdb(gtsdb.folder)
    outside = replace(dataset.samples[0], boxes=(Box(900, 0, 920, 20, 1),))
    with pytest.raises(DataError, match=r"00000.jpg has 140x90 pixels, and Box\(left=900.* lies outside"):
        load_scenes(replace(dataset, samples=(outside, *dataset.samples[1:])), "train")
    (gtsdb.folder / "00002.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"00002\.jpg"):
        load_scenes(load_gtsdb(gtsdb.folder), "train")
    bare = replace(dataset, samples=tuple(replace(sample, boxes=()) for sample in dataset.samples))
    with pytest.raises(DataError, match="has no labelled signs in its test split"):
        load_scenes(bare, "test")


def test_a_batch_is_images_boxes_and_categories(scenes: Scenes) -> None:
    images, boxes, labels = SceneBatches(scenes, 12, 0.5, 0)[3]

    assert images.shape == (12, CROP_SIZE, CROP_SIZE, 3) and images.dtype == torch.uint8
    assert boxes.shape == (12, labels.shape[1], 4) and boxes.dtype == torch.float32
    assert labels.dtype == torch.int64 and labels.min() >= NO_SIGN and labels.max() <= 3
    assert (labels >= 0).any(dim=1).float().mean() > 0.5  # most crops are cut around a sign
    assert (boxes[labels >= 0][:, 2:] > boxes[labels >= 0][:, :2]).all()


def test_a_batch_follows_from_seed_and_number_alone(scenes: Scenes) -> None:
    first, later = SceneBatches(scenes, 6, 0.5, 0), SceneBatches(scenes, 6, 0.5, 0)
    later[1]

    for one, other in zip(first[2], later[2], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first[2][0], first[3][0])
    assert not torch.equal(first[2][0], SceneBatches(scenes, 6, 0.5, 1)[2][0])


def test_processes_divide_a_batch_among_them(scenes: Scenes) -> None:
    whole = SceneBatches(scenes, 6, 0.5, 0)[0][0]

    for rank in range(2):
        assert torch.equal(SceneBatches(scenes, 6, 0.5, 0, (rank, 2))[0][0], whole[rank::2])


def test_balance_evens_out_the_categories(scenes: Scenes) -> None:
    many = scenes.select(np.array([0, 0, 0, 0, 0, 0, 2]))  # seven signs of class 1 and 12 for one of class 38
    counts = {}
    for balance in (0.0, 1.0):
        batches = SceneBatches(many, 16, balance, 0)
        labels = torch.cat([batches[step][2].flatten() for step in range(6)])
        counts[balance] = (labels == GERMAN_SIGNS.categories[38]).sum().item()
    assert counts[1.0] > 2 * counts[0.0]
