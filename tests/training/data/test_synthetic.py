"""Tests of the drawn data set."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data import synthetic
from training.data.synthetic import deal_classes, draw_scene, write_gtsdb
from training.data.synthetic_sign import draw_sign


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("size", [18.0, 40.0, 126.0])
@pytest.mark.parametrize("class_id", [2, 12, 13, 14, 25])
def test_box_is_tight_around_the_plate(class_id: int, size: float) -> None:
    for seed in range(8):
        patch = draw_sign(class_id, np.random.default_rng(seed), size)

        left, top, right, bottom = patch.box
        rows, columns = np.nonzero(patch.plate > 127)
        # Half-covered pixels of a sharp corner may add one pixel to the box.
        assert 0 <= columns.min() - left <= 2
        assert 0 <= right - 1 - columns.max() <= 2
        assert 0 <= rows.min() - top <= 2
        assert 0 <= bottom - 1 - rows.max() <= 2
        assert patch.plate[top:bottom, left:right].any(axis=1).all()
        assert abs(max(right - left, bottom - top) - size) <= 2
        assert patch.rgba.dtype == np.uint8
        assert patch.rgba.shape == (*patch.plate.shape, 4)


def test_scene_boxes_lie_inside_apart_and_within_size_limits() -> None:
    rng = np.random.default_rng(5)
    for _ in range(4):
        class_ids = [int(class_id) for class_id in rng.integers(0, 43, 8)]
        image, boxes = draw_scene(class_ids, rng)

        assert image.shape == (800, 1360, 3)
        assert image.dtype == np.uint8
        assert len(boxes) == len(class_ids)
        covered = np.zeros((800, 1360), int)
        for left, top, right, bottom in boxes:
            assert 0 <= left < right <= 1360
            assert 0 <= top < bottom <= 800
            assert 16 <= max(right - left, bottom - top) <= 128
            covered[top:bottom, left:right] += 1
        assert covered.max() == 1


def test_sign_is_painted_where_its_box_says(monkeypatch: pytest.MonkeyPatch) -> None:
    before: list[np.ndarray] = []
    mount = synthetic.mount

    def keep_what_is_behind(*arguments: object) -> None:
        mount(*arguments)  # type: ignore[arg-type]
        before[:] = [arguments[0].image.copy()]  # type: ignore[attr-defined]

    monkeypatch.setattr(synthetic, "mount", keep_what_is_behind)
    monkeypatch.setattr(synthetic, "_photograph", lambda street, rng: street.image)
    # A steady light and no occlusion would be needed for exact edges, so most of the plate must do.
    image, [(left, top, right, bottom)] = draw_scene([17], np.random.default_rng(1))
    changed = (image != before[0]).any(axis=2)

    assert changed[top:bottom, left:right].mean() > 0.6
    changed[max(top - 6, 0) : bottom + 6, max(left - 6, 0) : right + 6] = False
    assert changed.mean() < 0.001


def test_sizes_resemble_those_of_gtsdb() -> None:
    rng = np.random.default_rng(0)
    sizes = [synthetic._size(rng, 1360, 800) for _ in range(2000)]

    assert 34 <= np.median(sizes) <= 43
    assert min(sizes) < 20
    assert max(sizes) > 110


def test_same_generator_state_gives_the_same_scene() -> None:
    first, first_boxes = draw_scene([1, 14], np.random.default_rng(9), 640, 400)
    second, second_boxes = draw_scene([1, 14], np.random.default_rng(9), 640, 400)
    other, _ = draw_scene([1, 14], np.random.default_rng(10), 640, 400)

    assert first_boxes == second_boxes
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_bad_class_and_crowded_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="class id 43"):
        draw_scene([43], np.random.default_rng(0), 640, 400)
    with pytest.raises(ValueError, match="no room"):
        draw_scene([0] * 40, np.random.default_rng(0), 160, 100)


def test_folder_has_the_format_of_gtsdb(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    folder = write_gtsdb(
        tmp_path / "new" / "drawn",
        2,
        1,
        seed=3,
        signs_per_scene=4,
        progress=lambda a, b: calls.append((a, b)),
    )

    files = _files(folder)
    assert list(files) == ["00000.jpg", "00001.jpg", "00600.jpg", "README.txt", "gt.txt"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert b"drawings" in files["README.txt"]
    assert b"Seed 3;" in files["README.txt"]
    scene = cv2.imdecode(np.frombuffer(files["00600.jpg"], np.uint8), cv2.IMREAD_COLOR)
    assert scene is not None
    assert scene.shape == (800, 1360, 3)
    for line in files["gt.txt"].decode().splitlines():
        name, *numbers = line.split(";")
        left, top, right, bottom, class_id = map(int, numbers)
        assert name in files
        assert 0 <= left < right < 1360
        assert 0 <= top < bottom < 800
        # Inclusive coordinates: the long side is one more than the difference.
        assert 16 <= max(right - left, bottom - top) + 1 <= 128
        assert 0 <= class_id <= 42


def test_same_seed_gives_the_same_bytes_and_a_prefix(tmp_path: Path) -> None:
    one = _files(write_gtsdb(tmp_path / "one", 2, 1, seed=7))
    two = _files(write_gtsdb(tmp_path / "two", 2, 1, seed=7))
    longer = _files(write_gtsdb(tmp_path / "longer", 3, 1, seed=7))
    other = _files(write_gtsdb(tmp_path / "other", 1, 0, seed=8))

    assert one == two
    assert all(longer[name] == data for name, data in one.items() if name.endswith(".jpg"))
    assert other["00000.jpg"] != one["00000.jpg"]
    assert one["00600.jpg"] != one["00000.jpg"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_are_dealt_evenly_and_some_scenes_are_empty(split: str) -> None:
    dealt = deal_classes(0, split, 200, 5)

    counts = Counter(class_id for class_ids in dealt for class_id in class_ids)
    assert set(counts) == set(range(43))
    assert max(counts.values()) - min(counts.values()) <= 1
    assert sum(not class_ids for class_ids in dealt) == 10
    assert dealt[:50] == deal_classes(0, split, 50, 5)


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")

    with pytest.raises(FileExistsError, match="mine exists"):
        write_gtsdb(tmp_path / "mine", 1, 0, seed=0)

    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


@pytest.mark.parametrize(
    ("train", "test", "seed", "signs"),
    [
        (601, 0, 0, 5),
        (-1, 0, 0, 5),
        (0, 301, 0, 5),
        (0, 0, 0, 5),
        (1, 0, -1, 5),
        (1, 0, 0, 0),
    ],
)
def test_impossible_counts_are_refused(tmp_path: Path, train: int, test: int, seed: int, signs: int) -> None:
    with pytest.raises(ValueError, match=f"not {train}, {test}, {signs} and {seed}"):
        write_gtsdb(tmp_path / "drawn", train, test, seed, signs)

    assert list(tmp_path.iterdir()) == []


def test_stopped_run_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gtsdb(tmp_path / "drawn", 2, 0, seed=1, progress=stop)
    assert list(tmp_path.iterdir()) == []
    folder = write_gtsdb(tmp_path / "drawn", 2, 0, seed=1)
    assert sorted(_files(folder)) == ["00000.jpg", "00001.jpg", "README.txt", "gt.txt"]


def test_the_slower_of_two_runs_leaves_the_first_data_set_alone(tmp_path: Path) -> None:
    def finish_first(done: int, total: int) -> None:
        (tmp_path / "drawn").mkdir(exist_ok=True)

    with pytest.raises(FileExistsError, match="another run"):
        write_gtsdb(tmp_path / "drawn", 1, 0, seed=1, progress=finish_first)
    assert list(tmp_path.iterdir()) == [tmp_path / "drawn"]
