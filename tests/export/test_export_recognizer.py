"""What `signs export recognizer` publishes, and what it refuses."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from export.config import to_text
from export.errors import ExportError
from export.recognizer import export_recognizer
from export.repository import Manifest, load_manifest, verify_files, versions
from export.repository.policy import read_config, to_bytes
from serving import RECOGNIZER_SOURCES
from serving.recognizer.settings import load_settings
from tests.red_detector import publish_red_detector
from tests.signs_here import signs_here
from traffic_signs.classes import CATEGORIES, CLASS_NAMES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path, repository: Path, manifest: Manifest) -> Path:
    """A repository with a detector and a classifier."""
    shutil.copytree(repository / "sign_classifier", tmp_path / "sign_classifier")
    publish_red_detector(tmp_path)
    return tmp_path


def change_config(repository: Path, model: str, change: Callable[[pb.ModelConfig], object]) -> None:
    path = repository / model / "config.pbtxt"
    config = read_config(path.read_bytes(), str(path))
    change(config)
    path.write_text(to_text(config))


def test_what_is_published_is_byte_for_byte_the_sources(models: Path) -> None:
    export_recognizer(models)
    version = models / "sign_recognizer" / "1"
    sources = {path.name for path in RECOGNIZER_SOURCES.glob("*.py")}
    assert {"model.py", "preprocessing.py", "recognition.py"} <= sources
    beside = {"settings.json", "manifest.json", "config.pbtxt", "configs"}
    assert {path.name for path in version.iterdir()} == sources | beside
    for name in sources:
        assert (version / name).read_bytes() == (RECOGNIZER_SOURCES / name).read_bytes()
    for name in ("preprocessing.py", "cores.py"):  # links among the sources
        assert (version / name).read_bytes() == (ROOT / "traffic_signs" / name).read_bytes()
        assert not (version / name).is_symlink()


def test_it_has_as_many_processes_as_the_hardware_feeds(models: Path) -> None:
    export_recognizer(models)
    folder = models / "sign_recognizer"
    configs = {path.stem: read_config(path.read_bytes(), "") for path in folder.glob("configs/*.pbtxt")}
    assert {name: config.instance_group[0].count for name, config in configs.items()} == {
        "cpu-4": 5,
        **dict.fromkeys(("cpu-8", "cpu-16", "cpu-32", "cpu-64"), 9),
        "cpu-int8-4": 5,
        **dict.fromkeys(("cpu-int8-8", "cpu-int8-16", "cpu-int8-32", "cpu-int8-64"), 9),
        "gpu": 8,
    }
    assert {config.instance_group[0].kind for config in configs.values()} == {pb.ModelInstanceGroup.KIND_CPU}


def test_its_calls_fit_every_hardware(models: Path) -> None:
    path = models / "sign_classifier" / "configs" / "gpu.pbtxt"
    config = read_config(path.read_bytes(), "")
    config.max_batch_size = 16
    path.write_bytes(to_bytes(config))
    export_recognizer(models)
    settings = json.loads((models / "sign_recognizer" / "1" / "settings.json").read_text())
    assert (settings["classifier_max_batch"], settings["detector_max_batch"]) == (16, 3)


def test_the_manifest_names_every_file_and_what_it_was_fitted_to(models: Path) -> None:
    manifest = export_recognizer(models)
    assert manifest == load_manifest(models, "sign_recognizer", 1)
    verify_files(models / "sign_recognizer" / "1", manifest)
    assert "model.py" in manifest.files and "settings.json" in manifest.files
    assert (manifest.opset, manifest.ir_version, manifest.precision) == (0, 0, "")
    assert (manifest.source["sign_detector"], manifest.source["sign_classifier"]) == ("version 1", "version 1")
    assert manifest.source["sign_detector_files_sha256"] == load_manifest(models, "sign_detector", 1).files_sha256
    assert manifest.inputs == [{"name": "image", "datatype": "BYTES", "shape": [-1, 1]}]
    assert {"name": "boxes", "datatype": "FP32", "shape": [-1, -1, 4]} in manifest.outputs
    assert {"name": "names", "datatype": "BYTES", "shape": [-1, -1]} in manifest.outputs


def test_the_settings_are_those_of_the_models_that_are_there(models: Path) -> None:
    export_recognizer(models)
    settings = load_settings(models / "sign_recognizer" / "1")
    assert (settings.scene_height, settings.scene_width, settings.detector_max_batch) == (400, 680, 3)
    assert (settings.crop_size, settings.classifier_max_batch) == (48, 64)
    assert settings.class_names == list(CLASS_NAMES)
    assert settings.category_names == list(CATEGORIES)
    for class_id, category in enumerate(settings.class_categories):
        assert class_id in CATEGORIES[settings.category_names[category]]
    config = read_config((models / "sign_recognizer" / "config.pbtxt").read_bytes(), "")
    categories = config.parameters["class_categories"].string_value.split("\n")  # for clients, who see no settings
    assert categories == [settings.category_names[category] for category in settings.class_categories]


def test_each_call_publishes_the_next_version(models: Path) -> None:
    assert [export_recognizer(models).version for _ in range(2)] == [1, 2]
    config = read_config((models / "sign_recognizer" / "config.pbtxt").read_bytes(), "")
    assert config.parameters["score_threshold"].string_value == "0.3"


def test_signs_are_unknown_below_the_score_that_the_classifier_was_calibrated_to(models: Path) -> None:
    path = models / "sign_classifier" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["metrics"] |= {"unknown_threshold": 0.8125}
    path.write_text(json.dumps(manifest))

    export_recognizer(models)
    assert _unknown_threshold(models) == "0.8125"
    export_recognizer(models, unknown_threshold=0)
    assert _unknown_threshold(models) == "0"
    with pytest.raises(ExportError, match="unknown threshold is 2: give a number from 0 to 1"):
        export_recognizer(models, unknown_threshold=2)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_classifier_without_that_score_names_every_sign(models: Path, by_hand: bool) -> None:
    if by_hand:
        (models / "sign_classifier" / "1" / "manifest.json").unlink()
    export_recognizer(models)
    assert _unknown_threshold(models) == "0"


def _unknown_threshold(repository: Path) -> str:
    config = read_config((repository / "sign_recognizer" / "config.pbtxt").read_bytes(), "")
    return str(config.parameters["unknown_threshold"].string_value)


@pytest.mark.parametrize("missing", ["sign_detector", "sign_classifier"])
def test_without_one_of_the_models_nothing_is_published(missing: str, models: Path) -> None:
    shutil.rmtree(models / missing)
    with pytest.raises(ExportError, match=rf"has no {missing}.*signs export"):
        export_recognizer(models)
    assert versions(models, "sign_recognizer") == []


@pytest.mark.parametrize(
    ("model", "change", "what"),
    [
        ("sign_detector", lambda config: setattr(config.input[0], "name", "images"), "no scenes of UINT8"),
        ("sign_detector", lambda config: setattr(config.input[0], "data_type", pb.TYPE_FP32), "no scenes of UINT8"),
        ("sign_detector", lambda config: config.input[0].dims.__setitem__(0, -1), "no scenes of UINT8"),
        ("sign_detector", lambda config: config.output[2].dims.append(1), "no categories of INT32"),
        ("sign_detector", lambda config: config.output.__delitem__(1), "no scores of FP32"),
        ("sign_detector", lambda config: config.input.add(name="more"), "2 inputs"),
        ("sign_detector", lambda config: setattr(config, "max_batch_size", 0), "no batches"),
        ("sign_classifier", lambda config: config.input[0].dims.append(1), "no images of UINT8"),
        ("sign_classifier", lambda config: config.input[0].dims.__setitem__(1, 32), "not square"),
    ],
)
def test_a_model_that_it_cannot_call_is_refused(
    model: str, change: Callable[[pb.ModelConfig], object], what: str, models: Path
) -> None:
    change_config(models, model, change)
    with pytest.raises(ExportError, match=rf"is no {model} .*{what}"):
        export_recognizer(models)
    assert not (models / "sign_recognizer").exists()


def test_labels_that_do_not_fit_are_refused(models: Path) -> None:
    labels = models / "sign_classifier" / "1" / "labels.txt"
    labels.write_text("one\ntwo\n")
    with pytest.raises(ExportError, match="sign_classifier 1 names 2 classes and has 43"):
        export_recognizer(models)
    labels.write_bytes(b"\xff")
    with pytest.raises(ExportError, match=r"labels\.txt cannot be read"):
        export_recognizer(models)


def test_a_threshold_that_is_no_score_is_refused(models: Path) -> None:
    with pytest.raises(ExportError, match="number from 0 to 1"):
        export_recognizer(models, 1.5)


def signs(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return signs_here("export", "recognizer", *arguments)


def test_the_command_publishes_and_says_what_is_next(models: Path) -> None:
    reported = signs("--repository", models, "--score-threshold", "0.5")
    assert reported.returncode == 0, reported.stderr
    assert f"published: {models / 'sign_recognizer' / '1'}" in reported.stdout and "signs serve" in reported.stdout
    as_json = signs("--repository", models, "--json")
    assert json.loads(as_json.stdout)["version"] == 2


def test_the_command_names_what_is_missing_in_one_line(tmp_path: Path) -> None:
    result = signs("--repository", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("signs: ") and len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
