"""Judging a window against a reference: what counts, what fires, and what is left alone."""

import numpy as np
import pytest

from export.reference import Measurements
from monitoring.drift.features import CLASSES, EMPTY, FEATURES, count_by_scene, describe_group
from monitoring.drift.limits import DriftLimits
from monitoring.drift.scores import Score, make_baselines, score_features
from tests.monitoring.drift_samples import EDGES, NUM_CLASSES, draw

REFERENCE = draw(300, seed=0)


def scores_of(window: Measurements, reference: Measurements = REFERENCE, **limits: float) -> dict[str, Score]:
    baselines = make_baselines(count_by_scene(reference, EDGES, NUM_CLASSES))
    counts = {name: table.sum(axis=0) for name, table in count_by_scene(window, EDGES, NUM_CLASSES).items()}
    return {score.feature: score for score in score_features(baselines, counts, EDGES, DriftLimits(**limits))}  # type: ignore[arg-type]


def firing(scores: dict[str, Score]) -> set[str]:
    return {name for name, score in scores.items() if score.is_firing}


def test_measurements_are_counted_as_the_server_counts() -> None:
    measurements = Measurements(
        {"scene_brightness": np.array([16.0, 16.1, 300.0]), "scene_sharpness": np.array([0.0, 10.0, 11.0])},
        {
            "detection_score": np.array([0.3, 0.31]),
            "class_score": np.array([0.999, 1.0]),
            "sign_size_pixels": np.array([8.0, 400.0]),
        },
        np.array([42, 3]),
        np.array([2, 2]),
    )
    counts = count_by_scene(measurements, EDGES, NUM_CLASSES)
    assert set(counts) == set(FEATURES)
    buckets = {name: [np.flatnonzero(row).tolist() for row in table] for name, table in counts.items()}
    # A value at an edge is in the bucket below: Prometheus' "less or equal".
    assert buckets["scene_brightness"] == [[0], [1], [19]]
    assert buckets["scene_sharpness"] == [[0], [0], [1]]
    assert buckets["detection_score"] == [[], [], [2, 3]]
    assert buckets["class_score"] == [[], [], [12, 13]]
    assert buckets["sign_size_pixels"] == [[], [], [0, 16]]
    assert buckets[CLASSES] == [[], [], [3, 42]]
    assert buckets[EMPTY] == [[1], [1], [0]]


def test_scenes_are_selected_with_their_signs() -> None:
    chosen = REFERENCE.select(np.array([5, 2, 5]))
    assert len(chosen) == 3
    assert chosen.scenes["scene_brightness"][0] == chosen.scenes["scene_brightness"][2]
    for position, scene in enumerate((5, 2, 5)):
        assert list(chosen.class_ids[chosen.scene_of == position]) == list(
            REFERENCE.class_ids[REFERENCE.scene_of == scene]
        )


def test_without_drift_windows_alarm_as_rarely_as_promised() -> None:
    """Over all seven features together, whatever reference was drawn."""
    pool = count_by_scene(draw(40000, seed=3), EDGES, NUM_CLASSES)
    least, alarms = [], 0
    for start in range(0, 40000, 160):
        baselines = make_baselines({name: table[start : start + 60] for name, table in pool.items()})
        window = {name: table[start + 60 : start + 160].sum(axis=0) for name, table in pool.items()}
        scores = score_features(baselines, window, EDGES, DriftLimits())
        least.append(min(score.p_value for score in scores if score.p_value is not None))
        alarms += any(score.is_firing for score in scores)
    assert len(least) == 250
    assert alarms <= 2  # 0.25 are promised
    assert np.mean(np.array(least) < 0.05) < 0.05 + 3 * np.sqrt(0.05 / 250)


@pytest.mark.parametrize(
    ("window", "feature"),
    [
        (draw(100, 1, brightness=90), "scene_brightness"),
        (draw(100, 1, classes=(20, 30)), CLASSES),
    ],
)
def test_a_change_is_found_in_the_feature_that_changed(window: Measurements, feature: str) -> None:
    assert firing(scores_of(window)) == {feature}


def test_no_signs_at_all_are_drift() -> None:
    window = draw(100, 1)
    blind = Measurements(
        window.scenes, {name: np.empty(0) for name in window.signs}, np.empty(0, np.int64), np.empty(0, np.int64)
    )
    scores = scores_of(blind)
    assert firing(scores) == {EMPTY}
    assert scores[EMPTY].note == "scenes without signs: 23% before, 100% now"
    assert scores["class_score"].psi is None and scores["class_score"].note == "0 signs, and 50 are needed"


def test_a_quiet_night_is_not_evaluated() -> None:
    scores = scores_of(draw(49, 1, brightness=30))
    assert not firing(scores)
    score = scores["scene_brightness"]
    assert (score.psi, score.p_value, score.samples) == (None, None, 49)
    assert score.note == "49 scenes, and 50 are needed"
    assert "scene_brightness" in firing(scores_of(draw(50, 1, brightness=30)))


def test_all_three_limits_must_be_passed() -> None:
    window = draw(100, 1, brightness=116)
    score = scores_of(window)["scene_brightness"]
    assert score.is_firing and score.psi is not None and score.p_value is not None
    assert not scores_of(window, psi=score.psi + 0.01)["scene_brightness"].is_firing
    assert not scores_of(window, alpha=score.p_value / 2)["scene_brightness"].is_firing
    assert not scores_of(window, floor=101)["scene_brightness"].is_firing


def test_a_difference_that_is_certain_and_small_does_not_fire() -> None:
    score = scores_of(draw(50000, 1, brightness=131), draw(50000, 2))["scene_brightness"]
    assert score.p_value is not None and score.p_value < 1e-6
    assert score.psi is not None and score.psi < 0.1 and not score.is_firing


def test_frames_of_one_view_count_as_one() -> None:
    alarms = {1.0: 0, 10.0: 0}
    for seed in range(1, 60):
        film = draw(60, seed).select(np.repeat(np.arange(60), 10))
        for repeats in alarms:
            alarms[repeats] += bool(firing(scores_of(film, repeats=repeats)))
    assert alarms[10.0] == 0 and alarms[1.0] >= 5
    few = scores_of(draw(40, 1).select(np.repeat(np.arange(40), 10)), repeats=10)
    assert few["scene_brightness"].note == "400 scenes, and 500 are needed"


def test_a_reference_that_is_too_small_gives_no_score() -> None:
    score = scores_of(draw(1000, 1), draw(40, 2))["scene_brightness"]
    assert score.psi is None and "40 scenes" in score.note and "50" in score.note


def test_what_there_is_more_of_is_named() -> None:
    notes = {name: score.note for name, score in scores_of(draw(100, 1, brightness=90, classes=(39, 43))).items()}
    assert notes["scene_brightness"].startswith("up to ")
    assert notes[CLASSES].startswith("classes ") and "to 42: " in notes[CLASSES]


def test_a_class_is_called_by_its_name_where_it_is_known() -> None:
    assert describe_group(CLASSES, None, np.array([14]), {14: "Große Eule"}) == "Große Eule"
    assert describe_group(CLASSES, None, np.array([14])) == "class 14"
    assert describe_group(CLASSES, None, np.array([3, 4]), {3: "a", 4: "b"}) == "classes 3 to 4"
