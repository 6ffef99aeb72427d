"""Tests of the drawn sign crops."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training.data.crops import Crops
from training.data.synthetic_crops import draw_crops

SIZE = 32


@pytest.fixture(scope="module")
def crops() -> Crops:
    return draw_crops(172, SIZE, seed=5, processes=1)


def test_crops_have_the_form_of_real_ones(crops: Crops) -> None:
    assert crops.images.shape == (172, SIZE, SIZE, 3)
    assert crops.images.dtype == np.uint8
    assert crops.class_ids.shape == (172,)
    assert crops.class_ids.dtype == np.int64
    assert len(crops.fingerprint) == 64
    assert draw_crops(1, 48, seed=0).images.shape == (1, 48, 48, 3)


def test_every_crop_is_a_sign_of_its_own(crops: Crops) -> None:
    assert len(set(crops.sources)) == 172
    assert crops.sources[123] == "synthetic-0000123"
    assert len({image.tobytes() for image in crops.images}) == 172


def test_classes_are_dealt_evenly(crops: Crops) -> None:
    assert Counter(crops.class_ids.tolist()) == dict.fromkeys(range(43), 4)
    uneven = Counter(draw_crops(50, 16, seed=1).class_ids.tolist())
    assert (len(uneven), max(uneven.values())) == (43, 2)


def test_classes_come_shuffled(crops: Crops) -> None:
    assert crops.class_ids[:43].tolist() != sorted(crops.class_ids[:43].tolist())
    assert crops.class_ids[:43].tolist() != crops.class_ids[43:86].tolist()


def test_same_seed_gives_the_same_crops_and_another_seed_others(crops: Crops) -> None:
    again = draw_crops(172, SIZE, seed=5, processes=1)
    other = draw_crops(172, SIZE, seed=6, processes=1)

    assert np.array_equal(again.images, crops.images)
    assert np.array_equal(again.class_ids, crops.class_ids)
    assert again.fingerprint == crops.fingerprint
    assert not np.array_equal(other.images, crops.images)
    assert other.fingerprint != crops.fingerprint


def test_number_of_processes_changes_nothing(crops: Crops) -> None:
    calls: list[tuple[int, int]] = []
    spread = draw_crops(172, SIZE, seed=5, progress=lambda done, total: calls.append((done, total)), processes=2)

    assert np.array_equal(spread.images, crops.images)
    assert np.array_equal(spread.class_ids, crops.class_ids)
    assert spread.fingerprint == crops.fingerprint
    assert calls == [(43, 172), (86, 172), (129, 172), (172, 172)]


def test_processes_work_from_a_script(tmp_path: Path) -> None:
    script = tmp_path / "draw.py"
    script.write_text(
        "from training.data.synthetic_crops import draw_crops\n"
        "if __name__ == '__main__':\n"
        f"    print(draw_crops(60, {SIZE}, seed=5, processes=2).fingerprint)\n"
    )
    root = Path(__file__).resolve().parents[3]
    result = subprocess.run([sys.executable, script], cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True)

    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().strip() == draw_crops(60, SIZE, seed=5).fingerprint


def test_fewer_crops_are_the_first_of_more(crops: Crops) -> None:
    fewer = draw_crops(50, SIZE, seed=5)

    assert np.array_equal(fewer.images, crops.images[:50])
    assert np.array_equal(fewer.class_ids, crops.class_ids[:50])
    assert fewer.fingerprint != crops.fingerprint


def test_stopped_drawing_ends_at_once_and_raises() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for processes in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            draw_crops(172, 16, seed=0, progress=stop, processes=processes)


def test_light_and_sharpness_vary_as_on_real_roads(crops: Crops) -> None:
    assert (crops.images.reshape(172, -1).std(axis=1) > 1).all()  # none is a single colour
    brightness = crops.images.reshape(172, -1).mean(axis=1)
    assert brightness.min() < 30
    assert brightness.max() > 160
    assert 55 < np.median(brightness) < 95  # 77 in GTSRB's training images


def test_sign_fills_the_crop_but_for_its_margin() -> None:
    # A red disc on any ground: where it is red, averaged over many crops, shows where the plate lies.
    crops = draw_crops(43 * 12, 48, seed=2)
    discs = crops.images[crops.class_ids == 17].astype(np.float64)
    red = (discs[..., 0] / (discs.sum(axis=3) + 1)).mean(axis=0)

    inside, outside = red[8:12, 20:28].mean(), red[:2].mean()
    assert inside > outside + 0.08
    edge = (inside + outside) / 2
    rows = np.flatnonzero(red[:, 23] > edge)
    assert 2 <= rows.min() <= 7
    assert 40 <= rows.max() <= 45
