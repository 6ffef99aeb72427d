"""The reference that a recognizer's version carries: measured by its own code, whole or refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clients.command.export import app
from export.drift_reference import measure_scenes, open_recognizer
from export.errors import ExportError, RepositoryError
from export.local_recognizer import LocalRecognizer
from export.recognizer import export_recognizer
from export.reference import FILE, parse_reference
from export.repository import Manifest, verify_files, versions
from tests.drawn_traffic import SCENES, drawn_traffic, photograph
from tests.end_to_end.street import street
from tests.monitoring.drift_samples import draw, reference_of
from tests.red_detector import publish_red_detector
from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from training.data.records import Dataset


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, repository: Path, manifest: Manifest) -> Path:
    """A repository with two versions of a detector, and a classifier."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(repository / "sign_classifier", folder / "sign_classifier")
    for _ in range(2):
        publish_red_detector(folder)
    return folder


@pytest.fixture(scope="module")
def recognizer(models: Path) -> LocalRecognizer:
    return open_recognizer(models, 0.3)


def test_it_measures_what_can_be_seen(recognizer: LocalRecognizer) -> None:
    scene, signs = recognizer(street([(2, 2), (9, 5)], factor=2))
    assert sorted(signs.boxes[:, :2].tolist()) == [[160, 160], [720, 400]]
    assert signs.sizes == pytest.approx([40, 40]), "in the detector's pixels"
    assert 60 < scene.brightness < 100

    samples = list(drawn_traffic().samples)[:6]
    measured, fingerprint = measure_scenes(recognizer, drawn_traffic(), samples)
    darker, _ = measure_scenes(recognizer, drawn_traffic(), samples, alter=lambda image: image.point(lambda v: v / 2))
    assert len(measured) == 6 and len(fingerprint) == 64
    found = [len(recognizer(photograph(seed))[1].boxes) for seed in range(6)]
    assert np.bincount(measured.scene_of, minlength=6).tolist() == found and sum(found) > 0
    assert darker.scenes["scene_brightness"] == pytest.approx(measured.scenes["scene_brightness"] / 2, abs=1)


def test_a_version_carries_its_reference_under_its_checksum(models: Path) -> None:
    manifest = export_recognizer(models, 0.4, drawn_traffic())
    folder = models / "sign_recognizer" / str(manifest.version)
    verify_files(folder, manifest)
    assert FILE in manifest.files

    reference = parse_reference((folder / FILE).read_bytes(), "here")

    assert (reference.data, reference.split, reference.score_threshold) == ("gtsdb=drawn", "test", 0.4)
    assert reference.models == {"sign_detector": 2, "sign_classifier": 1}
    assert manifest.source["sign_detector"] == "version 2"
    assert len(reference.measurements) == SCENES
    again, fingerprint = measure_scenes(open_recognizer(models, 0.4), drawn_traffic(), list(drawn_traffic().samples))
    assert fingerprint == reference.fingerprint
    assert (again.class_ids == reference.measurements.class_ids).all()
    for name, values in reference.measurements.signs.items():
        assert values == pytest.approx(again.signs[name], rel=1e-5)


@pytest.mark.parametrize("scenes", [pytest.param(GTSDB, marks=NEEDS_GTSDB)], ids=["gtsdb"])
def test_the_command_measures_the_real_test_scenes(scenes: Path, models: Path) -> None:
    options = ["recognizer", "--repository", str(models), "--reference", f"gtsdb={scenes}", "--json"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    folder = models / "sign_recognizer" / str(json.loads(result.stdout)["version"])
    reference = parse_reference((folder / FILE).read_bytes(), "here")
    assert (reference.data, reference.split, len(reference.measurements)) == ("gtsdb=gtsdb.zip", "test", 60)
    # The README of the recognizer: 90 of 100 scenes have a brightness of 101 to 156, a sharpness of 170 to 2160.
    assert 101 < np.median(reference.measurements.scenes["scene_brightness"]) < 156
    assert 170 < np.median(reference.measurements.scenes["scene_sharpness"]) < 2160


def test_a_split_that_is_none_is_refused(models: Path) -> None:
    result = CliRunner().invoke(app, ["recognizer", "--repository", str(models), "--split", "all"])
    assert result.exit_code == 2 and "--split" in result.stderr


def test_too_few_scenes_or_none_publish_nothing(models: Path) -> None:
    before, drawn = versions(models, "sign_recognizer"), drawn_traffic()
    with pytest.raises(ExportError, match=r"has 49 test scenes: a reference needs 50"):
        export_recognizer(models, scenes=Dataset("gtsdb=few", drawn.samples[:49], drawn.read))
    with pytest.raises(ExportError, match=r"has 0 train scenes"):
        export_recognizer(models, scenes=drawn, split="train")
    with pytest.raises(ExportError, match=r"has no street scenes: give gtsdb=PATH"):
        export_recognizer(models, scenes=Dataset("gtsrb=crops", drawn.samples, drawn.read))
    assert versions(models, "sign_recognizer") == before


def test_what_is_written_is_read_again() -> None:
    written = reference_of(draw(80, seed=1))
    content = written.to_bytes()
    read = parse_reference(content, "here")
    assert (read.data, read.split, read.models) == (written.data, written.split, written.models)
    assert read.to_bytes() == content
    assert read.measurements.scenes["scene_sharpness"] == pytest.approx(
        written.measurements.scenes["scene_sharpness"], rel=1e-5
    )
    assert (read.measurements.scene_of == written.measurements.scene_of).all()
    assert max(len(line) for line in content.decode().splitlines()[:8]) < 100, "the facts can be read by people"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda values: values.update(form=2), "its form is 2"),
        (lambda values: values.pop("models"), "'models'"),
        (lambda values: values["scenes"].pop("scene_sharpness"), "'scene_sharpness'"),
        (lambda values: values["scenes"]["scene_sharpness"].pop(), "differ in length"),
        (lambda values: values["signs"]["class_ids"].pop(), "differ in length"),
        (lambda values: values["signs"]["scene_of"].__setitem__(0, -1), "does not exist"),
        (lambda values: values["signs"]["scene_of"].__setitem__(-1, 80), "does not exist"),
        (lambda values: values["signs"]["class_score"].__setitem__(0, float("nan")), "not a number"),
        (lambda values: values["signs"]["class_score"].__setitem__(0, "high"), "convert"),
        (lambda values: values.update(signs=[]), "list indices"),
    ],
)
def test_a_damaged_reference_is_refused(change: "object", what: str) -> None:
    values = json.loads(reference_of(draw(80, seed=1)).to_bytes())
    change(values)  # type: ignore[operator]
    with pytest.raises(RepositoryError, match=rf"here cannot be read .*{what}.*publish the recognizer again"):
        parse_reference(json.dumps(values).encode(), "here")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"null", b'{"form": 1}'])
def test_what_is_no_reference_is_refused(content: bytes) -> None:
    with pytest.raises(RepositoryError, match="here cannot be read"):
        parse_reference(content, "here")
