"""From scenes to signs, with networks whose answers are known: plain functions in place of the two models."""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from serving.recognizer.recognition import Detect, Signs, recognize
from serving.recognizer.scene import Scene, read_scene
from traffic_signs.preprocessing import crop

HEIGHT, WIDTH, SIZE = 80, 120, 16
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def scene(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> Scene:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
        buffer, "PNG"
    )
    return read_scene(buffer.getvalue(), HEIGHT, WIDTH)


def always(boxes: Sequence[Sequence[float]], scores: Sequence[float], categories: Sequence[int]) -> Detect:
    """A detector that answers the same for each scene."""

    def detect(scenes: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        assert scenes.shape[1:] == (HEIGHT, WIDTH, 3) and scenes.dtype == np.uint8
        many = len(scenes)
        return (
            np.tile(np.array(boxes, np.float32).reshape(-1, 4), (many, 1, 1)),
            np.tile(np.array(scores, np.float32), (many, 1)),
            np.tile(np.array(categories, np.int32), (many, 1)),
        )

    return detect


def by_mean(crops: Pixels) -> npt.NDArray[np.float32]:
    """A classifier of two classes whose probabilities are the mean value of the crop."""
    mean = crops.astype(np.float64).mean(axis=(1, 2, 3)) / 255
    return np.stack([mean, 1 - mean], axis=1).astype(np.float32)


def never(pixels: Pixels) -> npt.NDArray[np.float32]:
    raise AssertionError("there was nothing to ask")


def only(signs: list[Signs]) -> Signs:
    (one,) = signs
    return one


def test_boxes_come_back_in_pixels_of_the_photograph(pool: ThreadPoolExecutor) -> None:
    detect = always([[10, 20, 30, 40]], [0.9], [2])

    signs = only(recognize([scene(480, 320)], [0.5], detect, by_mean, SIZE, pool))

    assert signs.boxes.tolist() == [[40, 80, 120, 160]]
    assert signs.boxes.dtype == np.float32 and signs.categories.tolist() == [2]
    assert signs.sizes.tolist() == pytest.approx([20]), "the size is that in the detector's input"


def test_crops_are_cut_from_the_photograph_with_the_margin_of_the_training(pool: ThreadPoolExecutor) -> None:
    photograph = scene(480, 320, seed=5)
    detect = always([[10, 20, 30, 40], [50, 10, 90, 60]], [0.9, 0.8], [0, 0])
    seen: list[Pixels] = []

    def classify(crops: Pixels) -> npt.NDArray[np.float32]:
        seen.append(crops)
        return by_mean(crops)

    recognize([photograph], [0.5], detect, classify, SIZE, pool)

    boxes = [(40.0, 80.0, 120.0, 160.0), (200.0, 40.0, 360.0, 240.0)]
    assert np.array_equal(seen[0], np.stack([crop(photograph.photograph, box, SIZE) for box in boxes]))


def test_each_scene_gets_its_own_signs_from_one_call_of_each_model(pool: ThreadPoolExecutor) -> None:
    """The detector finds as many signs as the scene's number says; the crops of all are classified together."""
    calls: list[int] = []

    def detect(scenes: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        calls.append(len(scenes))
        boxes = np.tile(np.array([10, 10, 30, 30], np.float32), (len(scenes), 3, 1))
        scores = np.array([[0.9 if k < n else 0.1 for k in range(3)] for n in range(len(scenes))], np.float32)
        return boxes, scores, np.zeros((len(scenes), 3), np.int32)

    def classify(crops: Pixels) -> npt.NDArray[np.float32]:
        calls.append(len(crops))
        return by_mean(crops)

    scenes = [scene(seed=number) for number in range(4)]
    found = recognize(scenes, [0.5] * 4, detect, classify, SIZE, pool)

    assert calls == [4, 6]
    assert [len(signs.boxes) for signs in found] == [0, 1, 2, 3]
    for each, signs in zip(scenes, found, strict=True):
        alone = by_mean(crop(each.photograph, (10, 10, 30, 30), SIZE)[None])[0]
        assert signs.class_ids.tolist() == [alone.argmax()] * len(signs.boxes)
        assert signs.class_scores.tolist() == pytest.approx([alone.max()] * len(signs.boxes))


def test_every_scene_has_its_own_threshold(pool: ThreadPoolExecutor) -> None:
    detect = always([[0, 0, 20, 20]] * 3, [0.9, 0.5, 0.2], [0, 0, 0])

    found = recognize([scene(), scene(), scene()], [0.5, 0.0, 0.95], detect, by_mean, SIZE, pool)

    assert [len(signs.boxes) for signs in found] == [2, 3, 0]


def test_without_signs_the_classifier_is_not_asked(pool: ThreadPoolExecutor) -> None:
    signs = only(recognize([scene()], [0.5], always([[0, 0, 20, 20]], [0.1], [0]), never, SIZE, pool))

    assert signs.boxes.shape == (0, 4)
    for values in (signs.sizes, signs.detection_scores, signs.categories, signs.class_ids, signs.class_scores):
        assert values.shape == (0,)
    assert signs.class_ids.dtype == np.int32 and signs.class_scores.dtype == np.float32


def test_without_scenes_no_model_is_asked(pool: ThreadPoolExecutor) -> None:
    def detect(scenes: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        raise AssertionError("there was nothing to ask")

    assert recognize([], [], detect, never, SIZE, pool) == []


def test_boxes_are_clipped_to_the_photograph_and_dropped_in_the_filling(pool: ThreadPoolExecutor) -> None:
    photograph = scene(60, 40)  # at the top left of the detector's 120x80
    boxes: list[list[float]] = [
        [-10, -5, 20, 20],
        [50, 30, 90, 70],
        [70, 10, 90, 30],
        [10, 50, 30, 70],
        [59.5, 10, 90, 30],
    ]

    signs = only(recognize([photograph], [0.5], always(boxes, [0.9] * 5, [0] * 5), by_mean, SIZE, pool))

    assert signs.boxes.tolist() == [[0, 0, 20, 20], [50, 30, 60, 40]]


NAN = float("nan")


@pytest.mark.parametrize("box", [[NAN] * 4, [30, 10, 20, 20], [10, 10, 10, 20], [float("-inf"), 0, NAN, 9]])
def test_what_is_no_box_is_dropped(box: list[float], pool: ThreadPoolExecutor) -> None:
    boxes: list[list[float]] = [box, [10, 10, 30, 30]]

    signs = only(recognize([scene()], [0.5], always(boxes, [0.9, 0.8], [1, 2]), by_mean, SIZE, pool))

    assert signs.boxes.tolist() == [[10, 10, 30, 30]] and signs.categories.tolist() == [2]


def test_a_score_that_is_no_number_is_no_sign(pool: ThreadPoolExecutor) -> None:
    detect = always([[0, 0, 20, 20]] * 2, [float("nan"), 0.8], [1, 2])

    assert only(recognize([scene()], [0.0], detect, by_mean, SIZE, pool)).categories.tolist() == [2]
