"""Tests of the versions that come with the repository: whole, traceable, and as good as their cards say."""

import json
import re
import subprocess
from pathlib import Path

import onnx
import pytest

from export.config import target_of
from export.fixed_batch import require_fixed
from export.hardware_fit import CORES, LARGER, cpu_name
from export.kinds import find_kind
from export.predictor import OnnxPredictor
from export.repository import load_manifest, verify_files
from export.repository.calls import changed_calls
from export.repository.configuration import GPU, require_hardware
from export.repository.manifest import GPU_FILE, INT8_FILE, MODEL_FILE
from export.repository.onnx_file import check_onnx
from export.repository.policy import read_config
from export.repository.promotion import present_configs
from export.repository.store import open_store
from export.repository.verification import verify
from tests.fixture_types import Serve, Signs
from tests.training.data.real_data import GTSDB, GTSRB, NEEDS_GTSDB, NEEDS_GTSRB
from traffic_signs.classes import CLASS_NAMES
from training.classifier.evaluate import evaluate
from training.data.crops import cut_crops
from training.data.gtsrb import load_gtsrb

REPOSITORY = Path(__file__).parents[2] / "model_repository"
NETWORKS = ("sign_classifier", "sign_detector")
SHIPPED = (*NETWORKS, "sign_recognizer")
CONFIGURATIONS = (*(cpu_name(cores, int8) for int8 in (False, True) for cores in LARGER), GPU)
MOST_BYTES = {"sign_detector": 13_000_000}  # its weights are 6.9 MB, in int8 2.3 MB, the scene that warms it up 3.3 MB


@pytest.mark.parametrize("model", SHIPPED)
def test_version_1_is_the_one_that_was_published(model: str) -> None:
    manifest = load_manifest(REPOSITORY, model, 1)

    folder = REPOSITORY / model / "1"
    verify_files(folder, manifest)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}  # of the server's Python, where it has served
    assert files == {"manifest.json", *manifest.files}
    assert sum(entry["size"] for entry in manifest.files.values()) < MOST_BYTES.get(model, 5_000_000)


@pytest.mark.skipif(not (REPOSITORY.parent / ".git").exists(), reason="this is no git checkout")
@pytest.mark.parametrize("model", SHIPPED)
def test_git_has_every_file_that_it_ignores_by_rule(model: str) -> None:
    """A model repository is for what users publish: .gitignore names it, and the bundled files are added by force."""
    command = ["git", "ls-files", "-z", "."]
    found = subprocess.run(command, cwd=REPOSITORY / model, capture_output=True, text=True, check=True)
    names = load_manifest(REPOSITORY, model, 1).files
    wanted = {f"1/{name}" for name in names} | {name for name in names if name.startswith("configs/")}
    assert wanted <= set(found.stdout.split("\0")), "add them with `git add --force`"


@pytest.mark.parametrize("model", SHIPPED)
def test_manifest_leads_back_to_code_and_names_no_path_of_a_machine(model: str) -> None:
    manifest = load_manifest(REPOSITORY, model, 1)

    assert re.fullmatch(r"[0-9a-f]{40}", manifest.source["git_commit"]), "made with files that are not committed"
    assert not re.search(r'"/|"[A-Z]:|/(home|tmp|root|work)/', (REPOSITORY / model / "1" / "manifest.json").read_text())


@pytest.mark.parametrize("model", NETWORKS)
def test_manifest_leads_back_to_data(model: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", load_manifest(REPOSITORY, model, 1).data["fingerprint"])


def test_recognizer_was_exported_with_the_versions_beside_it() -> None:
    assert list(changed_calls(open_store(REPOSITORY), "sign_recognizer")) == []


def test_config_fits_the_classifier() -> None:
    config = read_config((REPOSITORY / "sign_classifier" / "config.pbtxt").read_bytes(), "")
    manifest = load_manifest(REPOSITORY, "sign_classifier", 1)

    assert config.name == "sign_classifier" and config.platform == "onnxruntime_onnx"
    assert [-1, *config.input[0].dims] == manifest.inputs[0]["shape"]
    assert [-1, *config.output[0].dims] == manifest.outputs[0]["shape"] == [-1, len(CLASS_NAMES)]
    assert (REPOSITORY / "sign_classifier" / "labels.txt").read_text().splitlines() == list(CLASS_NAMES)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_gpu_gets_the_file_that_is_made_for_one(model: str) -> None:
    folder, manifest = REPOSITORY / model / "1", load_manifest(REPOSITORY, model, 1)
    configs = present_configs(open_store(REPOSITORY), model)

    check_onnx(folder, model)
    require_fixed(onnx.load(folder / GPU_FILE), manifest.gpu["fixed_batches"])
    assert manifest.gpu["parity"]["max_difference"] <= manifest.gpu["parity"]["tolerance"]
    assert manifest.files[GPU_FILE]["size"] < 100_000, "its weights are those of the file for CPUs"
    assert target_of(configs["config.pbtxt"]) == "cpu" and target_of(configs["configs/gpu.pbtxt"]) == "gpu"
    for name in ("", *CONFIGURATIONS):
        require_hardware({model: configs}, name, gpu=True, server="")


@pytest.mark.parametrize("model", NETWORKS)
def test_a_cpu_that_gains_by_int8_gets_a_file_that_loses_little(model: str) -> None:
    manifest, configs = load_manifest(REPOSITORY, model, 1), present_configs(open_store(REPOSITORY), model)

    parity, accuracy = manifest.int8["parity"], manifest.int8["accuracy"]
    assert parity["max_difference"] <= parity["tolerance"] and accuracy["loss"] <= find_kind(model).max_loss
    assert manifest.files[INT8_FILE]["size"] < manifest.files[MODEL_FILE]["size"] / 2
    for cores in CORES:
        assert configs[f"configs/cpu-int8-{cores}.pbtxt"].default_model_filename == INT8_FILE
    card = (REPOSITORY / model / "MODEL_CARD.md").read_text()
    assert f"{accuracy['exported']:.2%}" in card


@pytest.mark.parametrize("model", SHIPPED)
def test_each_hardware_has_its_configuration(model: str) -> None:
    paths = {path.stem for path in (REPOSITORY / model / "configs").iterdir()}

    assert paths == {*CONFIGURATIONS, *(("cpu-int8-2",) if model in NETWORKS else ())}
    check = verify(REPOSITORY, model)
    assert not [text for each in check for text in (*each.problems, *each.notices)]


def test_card_says_what_the_manifest_says() -> None:
    card = (REPOSITORY / "sign_classifier" / "MODEL_CARD.md").read_text()
    metrics = json.loads((REPOSITORY / "sign_classifier" / "1" / "manifest.json").read_text())["metrics"]

    assert f"{metrics['gtsrb_test_accuracy']:.2%}" in card
    assert f"{metrics['validation_accuracy']:.2%}" in card
    assert f"{metrics['gtsrb_test_ece']:.4f}" in card
    recognizer = REPOSITORY / "sign_recognizer"
    assert f"{metrics['unknown_threshold']:g}" in card
    assert f"{metrics['unknown_threshold']:g}" in (recognizer / "MODEL_CARD.md").read_text()
    assert f"{metrics['unknown_threshold']:g}" in (recognizer / "config.pbtxt").read_text()
    for page in ("README.md", "export/README.md"):
        assert f"{metrics['gtsrb_test_accuracy']:.2%}" in (REPOSITORY.parent / page).read_text(), page


@pytest.mark.parametrize("archive", [pytest.param(GTSRB, marks=NEEDS_GTSRB)])
def test_shipped_classifier_is_as_good_as_its_manifest_says(archive: Path) -> None:
    crops = cut_crops(load_gtsrb(archive), "test", 48)
    predict = OnnxPredictor(REPOSITORY / "sign_classifier" / "1" / "model.onnx")

    probabilities = predict(crops.images)["probabilities"]

    evaluation = evaluate(probabilities, crops.class_ids, CLASS_NAMES)
    metrics = load_manifest(REPOSITORY, "sign_classifier", 1).metrics
    if len(crops) == 3000:  # those that the manifest's figures are of
        assert evaluation.accuracy == pytest.approx(metrics["gtsrb_test_accuracy"], abs=1e-9)
    assert evaluation.accuracy >= 0.996
    assert evaluation.metrics()["ece"] <= 0.005


def test_cards_of_detector_and_recognizer_say_what_was_measured() -> None:
    metrics = load_manifest(REPOSITORY, "sign_detector", 1).metrics
    card = (REPOSITORY / "sign_detector" / "MODEL_CARD.md").read_text()

    for figure in ("map50_benchmark", "map50_95_benchmark", "ap50_other"):
        assert f"{metrics[f'gtsdb_test_{figure}']:.2%}" in card
        if f"validation_{figure}" in metrics:  # from a network that had scenes held out
            assert f"{metrics[f'validation_{figure}']:.2%}" in card
    recognizer = (REPOSITORY / "sign_recognizer" / "MODEL_CARD.md").read_text()
    assert f"{metrics['gtsdb_test_map50_benchmark']:.2%}" in recognizer


@pytest.mark.end_to_end
@pytest.mark.parametrize("archive", [pytest.param(GTSDB, marks=NEEDS_GTSDB)])
def test_what_is_served_after_cloning_finds_the_signs_of_real_scenes(archive: Path, serve: Serve, signs: Signs) -> None:
    url = serve(REPOSITORY).grpc_url

    code, out, err = signs("evaluate", "--url", url, "--data", f"gtsdb={archive}", "--split", "test", "--json")

    assert code == 0, err
    found = json.loads(out)
    metrics = load_manifest(REPOSITORY, "sign_detector", 1).metrics
    if found["categories"]["scenes"] == 60:  # those that the manifest's figures are of
        for figure in ("map50_benchmark", "map50_95_benchmark"):
            assert found["categories"][figure] == pytest.approx(metrics[f"gtsdb_test_{figure}"], abs=0.002)
    assert found["classes"]["map50"] >= 0.96
