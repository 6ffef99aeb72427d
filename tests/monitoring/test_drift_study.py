"""The study of false alarms and delays: on measurements drawn here, and once by a recognizer on drawn pictures."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clients.command.monitor import app
from export.drift_reference import open_recognizer
from export.repository import Manifest
from monitoring.drift.limits import DriftLimits
from monitoring.drift.study import ALTERATIONS, Measured, choose, load_measured, measure, study
from monitoring.drift.study_report import interval
from monitoring.errors import MonitoringError
from tests.end_to_end.street import encode, street
from tests.monitoring.drift_samples import draw, reference_of
from tests.red_detector import publish_red_detector
from training.data.records import Dataset, Sample

REAL = draw(300, seed=0)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """Real traffic, and traffic that is as dark after every alteration."""
    dark = reference_of(draw(60, seed=1, brightness=50))
    return Measured(reference_of(REAL), dict.fromkeys(ALTERATIONS, dark), choose(300, 60))


def test_it_alarms_for_what_changed_and_for_nothing_else(measured: Measured) -> None:
    found = study(measured, 40, DriftLimits())
    assert (found["scenes"], found["reference"], found["window"]) == (300, 100, 200)
    alarms = {row["traffic"]: row["alarms"] for row in found["false_alarms"]}
    assert alarms["50 scenes"] == alarms["200 scenes"] == alarms["50 scenes, 5 frames of each, --repeats 5"] == 0
    assert all(len(row["p_values"]) == row["windows"] == 40 for row in found["false_alarms"])
    delays = {row["change"]: row for row in found["delays"]}
    assert delays["nothing"]["delays"] == []
    assert len(delays["half as bright"]["delays"]) == delays["half as bright"]["streams"] == 4
    assert max(delays["half as bright"]["delays"]) < 100
    assert set(delays["half as bright"]["features"]) == {"scene_brightness"}
    assert delays["no speed limits"]["streams"] == 4


def test_the_same_seed_gives_the_same_study(measured: Measured) -> None:
    assert study(measured, 10, DriftLimits(), seed=5) == study(measured, 10, DriftLimits(), seed=5)


def test_what_was_measured_is_read_again(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    shutil.copytree(repository / "sign_classifier", tmp_path / "models" / "sign_classifier")
    publish_red_detector(tmp_path / "models")
    samples = tuple(Sample(f"{seed:05d}.bmp", "test", (), labelled=False) for seed in range(150))
    pictures = {
        sample: encode(street([(0, 0)], seed=seed).crop((0, 0, 120, 80)), "BMP") for seed, sample in enumerate(samples)
    }
    dataset = Dataset("gtsdb=drawn", samples, pictures.__getitem__)

    output = tmp_path / "out"
    output.mkdir()
    found = measure(open_recognizer(tmp_path / "models", 0.3), dataset, 10, output)

    real, dark = found.real.measurements, found.altered["dark50"].measurements
    assert len(real) == 150 and len(real.class_ids) == 150 and len(dark) == len(found.chosen) == 10
    assert dark.scenes["scene_brightness"] == pytest.approx(real.scenes["scene_brightness"][found.chosen] / 2, abs=1)
    sharpness = [found.altered[name].measurements.scenes["scene_sharpness"] for name in ("blur1", "blur2")]
    assert (real.scenes["scene_sharpness"][found.chosen] > sharpness[0]).all() and (sharpness[0] > sharpness[1]).all()

    again = load_measured(output)
    assert again.real.to_bytes() == found.real.to_bytes() and (again.chosen == found.chosen).all()
    (output / "blur1.json").unlink()
    with pytest.raises(MonitoringError, match=r"blur1\.json is missing"):
        load_measured(output)
    with pytest.raises(MonitoringError, match="has 149 scenes: a third becomes the reference, which takes 150"):
        measure(
            open_recognizer(tmp_path / "models", 0.3), Dataset("gtsdb=few", samples[:149], dataset.read), 10, output
        )


def test_the_command_prints_tables_and_draws(measured: Measured, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(measured.real.to_bytes())
    for name, reference in measured.altered.items():
        (tmp_path / f"{name}.json").write_bytes(reference.to_bytes())
    options = ["study", "--measured", str(tmp_path), "--output", str(tmp_path / "out"), "--trials", "10"]

    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert "50 scenes, 5 frames of each" in result.output and "half as bright" in result.output
    assert (tmp_path / "out" / "study.png").stat().st_size > 10_000
    result = CliRunner().invoke(app, [*options, "--json"])
    assert json.loads(result.stdout) == json.loads((tmp_path / "out" / "study.json").read_text())
    neither = CliRunner().invoke(app, ["study"])
    assert neither.exit_code == 2 and "give either --data or --measured" in neither.stderr


def test_the_interval_of_a_share() -> None:
    assert interval(0, 100) == pytest.approx((0, 1 - 0.025 ** (1 / 100)))
    assert interval(100, 100) == pytest.approx((0.025 ** (1 / 100), 1))
    low, high = interval(50, 100)
    assert low < 0.5 < high and low + high == pytest.approx(1)
    assert np.isclose(low, 0.3983, atol=1e-4)
