"""Tests of the files of an evaluation of detections."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from tests.training.detector.simple_detector import detections, random_scenes, signs
from traffic_signs.classes import CLASS_NAMES, GERMAN_SIGNS
from traffic_signs.preprocessing import decode
from training.data.gtsdb import load_gtsdb
from training.detector.detections import Detections
from training.detector.evaluate import evaluate_detections
from training.detector.plots import Tile
from training.detector.report import write_detection_evaluation

FILES = ["evaluation.json", "mistakes.png", "precision_recall.png", "sizes.png"]


def _grey(scene: int) -> Image.Image:
    return Image.new("RGB", (900, 900), (scene, 128, 128))


def _write(
    folder: Path,
    truth: list[Detections],
    found: list[Detections],
    labels: tuple[str, ...] = GERMAN_SIGNS.category_names,
) -> None:
    evaluation = evaluate_detections(truth, found, labels)
    names = [f"{index:05}.jpg" for index in range(len(truth))]
    write_detection_evaluation(folder, evaluation, truth, found, _grey, names)


def _check_pictures(folder: Path, smallest: int = 200) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert image.format == "PNG"
            pixels: npt.NDArray[np.uint8] = np.asarray(image.convert("RGB"))
        assert min(pixels.shape[:2]) > smallest
        assert 0.001 < (pixels != 255).any(axis=2).mean() < 0.95
    assert plt.get_fignums() == []


@pytest.mark.parametrize("labels", [GERMAN_SIGNS.category_names, CLASS_NAMES, (r"a $\ign$",)])
def test_figures_and_pictures_lie_in_one_folder(tmp_path: Path, labels: tuple[str, ...]) -> None:
    truth, found = random_scenes(0, 8, len(labels))

    _write(tmp_path / "new" / "folder", truth, found, labels)

    _check_pictures(tmp_path / "new" / "folder")
    figures = json.loads((tmp_path / "new" / "folder" / "evaluation.json").read_text())
    assert len(figures["labels"]) == len(labels)
    assert sum(figures["false_alarms_by_kind"].values()) == figures["false_alarms"] > 0
    assert sum(figures["misses_by_kind"].values()) == figures["misses"] > 0


def test_each_mistake_is_reported_with_its_scene_and_its_counterpart(tmp_path: Path) -> None:
    truth = [signs(), signs(((100, 100, 140, 140), 0))]
    found = [detections(), detections(((100, 100, 140, 140), 0.5, 2), ((600, 600, 640.5, 640), 0.75, 1))]

    _write(tmp_path, truth, found)

    mistakes = json.loads((tmp_path / "evaluation.json").read_text())["mistakes"]
    box, label = [100, 100, 140, 140], {"scene": "00001.jpg", "kind": "label"}
    assert mistakes["misses"] == [
        {**label, "box": box, "label": 0, "nearest_detection": {"box": box, "label": 2, "score": 0.5, "iou": 1.0}}
    ]
    # The threshold of the best F1 is that of the first detection: there is no right one.
    assert mistakes["false_alarms"] == [
        {
            "scene": "00001.jpg",
            "kind": "nothing",
            "box": [600, 600, 640.5, 640],
            "label": 1,
            "score": 0.75,
            "nearest_sign": None,
        }
    ]


@pytest.mark.parametrize(
    ("truth", "found"),
    [
        (signs(), detections()),
        (signs(((0, 0, 40, 40), 0)), detections()),
        (signs(), detections(((0, 0, 40, 40), 0.5, 0))),
        (signs(((0, 0, 40, 40), 0)), detections(((0, 0, 40, 40), 0.5, 0))),
        (signs(((880, 880, 900, 900), 0)), detections(((-50, -50, 950, 950), 0.5, 0))),
    ],
)
def test_extremes_have_pictures_too(tmp_path: Path, truth: Detections, found: Detections) -> None:
    _write(tmp_path, [truth], [found])

    _check_pictures(tmp_path, smallest=50)


def test_tiles_show_the_scene_around_both_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the tiles on their way to the picture: what they hold is not to be read from it."""
    tiles: list[Tile] = []
    monkeypatch.setattr(
        "training.detector.report.draw_mistakes",
        lambda sections, path: tiles.extend(tile for _, section in sections for tile in section),
    )
    truth = [signs(((10, 10, 50, 50), 0))]
    found = [detections(((20, 20, 60, 60), 0.75, 0))]
    evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names, 0.5)
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[20:60, 20:60] = 255

    write_detection_evaluation(tmp_path, evaluation, truth, found, lambda _: Image.fromarray(pixels), ["0.jpg"])

    alarm, miss = tiles
    for tile in (alarm, miss):
        left, top, right, bottom = tile.found[0].round().astype(int).tolist()
        assert tile.image[top + 3 : bottom - 3, left + 3 : right - 3].min() == 255
        assert tile.image[:, right + 3 :].max() == 0
        assert (tile.labelled[0] < tile.found[0]).all()
    assert (alarm.title, miss.title) == ("prohibitory 0.75", "prohibitory")
    assert alarm.caption == "does not fit prohibitory (IoU 0.39)\n0.jpg, 40 pixels"
    assert miss.caption == "does not fit: prohibitory 0.75 (IoU 0.39)\n0.jpg, 40 pixels"


def test_each_scene_is_read_once_and_only_where_something_is_wrong(tmp_path: Path) -> None:
    truth = [signs(((0, 0, 40, 40), 0)), signs(((0, 0, 40, 40), 0), ((90, 0, 130, 40), 1)), signs()]
    found = [detections(((0, 0, 40, 40), 0.9, 0)), detections(), detections()]
    asked: list[int] = []

    def read(scene: int) -> Image.Image:
        asked.append(scene)
        return _grey(scene)

    evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names)
    write_detection_evaluation(tmp_path, evaluation, truth, found, read, ["a", "b", "c"])

    assert asked == [1]


def test_a_scene_that_cannot_be_read_leaves_no_figures_of_other_pictures(tmp_path: Path) -> None:
    truth, found = random_scenes(0, 8)
    _write(tmp_path, truth, found)
    evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names)

    def fail(scene: int) -> Image.Image:
        raise OSError(f"scene {scene} is gone")

    with pytest.raises(OSError, match="is gone"):
        write_detection_evaluation(tmp_path, evaluation, truth, found, fail, ["x"] * len(truth))
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES[1:]


def test_other_scenes_than_those_of_the_evaluation_are_refused(tmp_path: Path) -> None:
    truth, found = random_scenes(0, 8)
    evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names)

    with pytest.raises(ValueError, match=r"8 scenes.* 7"):
        write_detection_evaluation(tmp_path, evaluation, truth[1:], found, _grey, ["x"] * 8)
    assert list(tmp_path.iterdir()) == []


class TestRealScenes:
    pytestmark = NEEDS_GTSDB

    def test_labels_of_gtsdb_found_with_a_loose_box_in_each_third_scene(self, tmp_path: Path) -> None:
        dataset = load_gtsdb(GTSDB)
        scenes = dataset.split("test")
        truth = [
            signs(
                *(
                    ((box.left, box.top, box.right, box.bottom), GERMAN_SIGNS.categories[box.class_id])
                    for box in scene.boxes
                )
            )
            for scene in scenes
        ]
        found = []
        for index, scene in enumerate(truth):
            widths = scene.boxes[:, 2:3] - scene.boxes[:, 0:1]
            shift = widths * (0.4 if index % 3 == 0 else 0.05)
            scores = np.full(len(scene.boxes), 0.5 + index / 200, np.float32)
            found.append(Detections((scene.boxes + shift).astype(np.float32), scores, scene.labels))

        evaluation = evaluate_detections(truth, found, GERMAN_SIGNS.category_names, score_threshold=0.5)
        write_detection_evaluation(
            tmp_path,
            evaluation,
            truth,
            found,
            lambda position: decode(dataset.read(scenes[position])),
            [scene.image for scene in scenes],
        )

        loose = sum(len(scene.boxes) for index, scene in enumerate(truth) if index % 3 == 0)
        assert evaluation.curve50.signs == 72
        assert (evaluation.chosen.misses, evaluation.chosen.false_alarms) == (loose, loose)
        figures = json.loads((tmp_path / "evaluation.json").read_text())
        assert figures["misses_by_kind"] == figures["false_alarms_by_kind"] == {"place": loose}
        _check_pictures(tmp_path)
