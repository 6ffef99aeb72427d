"""Tests of the splits for cross-validation and hold-out."""

import numpy as np
import pytest

from training.data.crops import Crops
from training.errors import TrainingError
from training.folds import deal_folds, holdout_indices


def _crops(tracks: dict[str, list[int]]) -> Crops:
    """Returns crops of the classes given for each track."""
    pairs = [(track, class_id) for track, class_ids in tracks.items() for class_id in class_ids]
    return Crops(
        np.zeros((len(pairs), 8, 8, 3), np.uint8),
        np.array([class_id for _, class_id in pairs]),
        tuple(track for track, _ in pairs),
        "none",
    )


@pytest.mark.parametrize("folds", [2, 5, 24])
def test_folds_hold_every_crop_once_and_keep_images_together(coloured_crops: Crops, folds: int) -> None:
    parts = deal_folds(coloured_crops.sources, folds, seed=0)

    assert len(parts) == folds
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(coloured_crops)))
    images = [{coloured_crops.sources[index] for index in part} for part in parts]
    assert sum(len(names) for names in images) == len(set.union(*images)) == 24
    assert max(len(names) for names in images) - min(len(names) for names in images) <= 1


def test_folds_of_scenes_are_equally_large() -> None:
    folds = deal_folds(range(11), 3, seed=0)

    assert sorted(np.concatenate(folds).tolist()) == list(range(11))
    assert [len(fold) for fold in folds] == [4, 4, 3]


def test_folds_repeat_by_seed(coloured_crops: Crops) -> None:
    def dealt(seed: int) -> list[list[int]]:
        return [part.tolist() for part in deal_folds(coloured_crops.sources, 4, seed)]

    assert dealt(3) == dealt(3)
    assert dealt(3) != dealt(4)


@pytest.mark.parametrize("folds", [-1, 0, 1, 25])
def test_folds_that_cannot_be_dealt_are_a_training_error(coloured_crops: Crops, folds: int) -> None:
    with pytest.raises(TrainingError, match=rf"24 tracks or images, which cannot be divided into {folds} parts"):
        deal_folds(coloured_crops.sources, folds, seed=0)


def test_held_out_tracks_are_whole_and_a_share_of_every_class() -> None:
    crops = _crops({f"{class_id}-{track}": [class_id] * 7 for class_id in range(3) for track in range(20 + class_id)})

    held = holdout_indices(crops, 0.1, seed=0)

    kept = np.setdiff1d(np.arange(len(crops)), held)
    assert {crops.sources[index] for index in held}.isdisjoint(crops.sources[index] for index in kept)
    assert np.bincount(crops.class_ids[held]).tolist() == [14, 14, 14]


def test_no_class_is_held_out_whole_and_rare_ones_not_at_all() -> None:
    tracks = {f"scene-{number}": [0, 1] if number < 2 else [0] for number in range(40)}

    for seed in range(5):
        held = holdout_indices(_crops(tracks), 0.2, seed)
        assert 1 not in _crops(tracks).class_ids[held]
        assert len(held) == 8


def test_hold_out_repeats_by_seed() -> None:
    crops = _crops({str(track): [0] for track in range(50)})

    assert holdout_indices(crops, 0.2, 3).tolist() == holdout_indices(crops, 0.2, 3).tolist()
    assert holdout_indices(crops, 0.2, 3).tolist() != holdout_indices(crops, 0.2, 4).tolist()


def test_too_few_tracks_hold_nothing_out() -> None:
    assert len(holdout_indices(_crops({"a": [0, 1], "b": [0, 1]}), 0.1, 0)) == 0


@pytest.mark.parametrize(("share", "tracks", "held"), [(0.1, 10, 1), (0.05, 60, 3), (0.29, 100, 29), (0.1, 9, 0)])
def test_a_share_that_makes_whole_tracks_is_held_out_whole(share: float, tracks: int, held: int) -> None:
    assert len(holdout_indices(_crops({str(track): [0] for track in range(tracks)}), share, seed=0)) == held
