"""A new version is served as the one before it was tuned and chosen to be, and as this release says otherwise."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.config import Serving, to_text
from export.errors import ExportError
from export.hardware_fit import CORES, LARGER, cpu_name
from export.kinds import CLASSIFIER
from export.repository import promote, publish
from export.serving_plan import ServingPlan, choose_serving, default_serving, int8_series
from export.settings import ServingOverrides
from export.tuning.plan import Setting, retuned, setting_in
from tests.network_configs import classifier_config
from training.checkpoint import CheckpointInfo

MODEL = "sign_classifier"
DEFAULT = default_serving(CLASSIFIER)
TUNED = Setting(2, 1, 0, 16)
ON_GPU = Serving(64, target="gpu", instances=2, fixed_batches=(64,))
TUNING = {"instances": 2, "threads": 1, "queue_delay_us": 0, "max_batch": 16, "target": "auto", "p99_ms": 9.5}


def publish_version(place: Path, serving: Serving, tuning: dict[str, Any] | None = None, gpu: bool = False) -> int:
    config = classifier_config(MODEL, 48, 43, serving)
    files = {"model.onnx": b"weights", "warmup/images-48x48x3.bin": b"pixels"}
    shared = {"config.pbtxt": to_text(config), "labels.txt": "stop\n"}
    if gpu:
        shared["configs/gpu.pbtxt"] = to_text(classifier_config(MODEL, 48, 43, ON_GPU))
    return publish(place, MODEL, files, shared, {"tuning": tuning or {}}).version


def test_a_new_model_gets_the_defaults(tmp_path: Path) -> None:
    chosen = choose_serving(tmp_path / "nowhere", MODEL)
    assert chosen.serving == DEFAULT and chosen.tuning == {}
    asked = ServingOverrides("gpu", True, 100, 2000)
    chosen = choose_serving(tmp_path, MODEL, asked)
    assert chosen.servings == {"": replace(ON_GPU, response_cache=True, max_queue=100, queue_timeout_ms=2000)}
    asked = ServingOverrides("gpu", tensorrt=True)
    tensorrt = replace(ON_GPU, tensorrt=True, fixed_batches=())
    assert choose_serving(tmp_path, MODEL, asked).servings == {"": tensorrt}


@pytest.mark.parametrize(("model", "sizes"), [(MODEL, (64,)), ("sign_detector", (1, 4))])
def test_each_hardware_has_a_configuration(tmp_path: Path, model: str, sizes: tuple[int, ...]) -> None:
    chosen = choose_serving(tmp_path, model)
    cores = {name: each.instances * each.threads for name, each in chosen.servings.items() if name != "gpu"}
    assert cores == {"": 2, "cpu-4": 4, "cpu-8": 8, "cpu-16": 16, "cpu-32": 32, "cpu-64": 64}
    preferred = {name: each.preferred_batch for name, each in chosen.servings.items()}
    few = dict.fromkeys(cores, 4) | {"": 16, "cpu-4": 8} if model == MODEL else dict.fromkeys(cores, 1)
    assert preferred == few | {"gpu": 0}, "instances on CPUs share what waits; on a GPU the batch is fixed"
    assert chosen.fixed_batches == chosen.servings["gpu"].fixed_batches == sizes
    on_cpus = choose_serving(tmp_path, model, ServingOverrides("cpu"))
    assert on_cpus.fixed_batches == () and "gpu" not in on_cpus.servings


def test_cpus_that_gain_by_int8_have_a_series_of_their_own() -> None:
    plain = choose_serving("nowhere", MODEL).servings
    with_file, without = int8_series(plain, int8=True), int8_series(plain, int8=False)
    assert list(with_file) == [cpu_name(cores, int8=True) for cores in CORES]
    assert with_file["cpu-int8-2"] == replace(plain[""], int8=True)
    assert without == {f"cpu-int8-{cores}": plain[f"cpu-{cores}"] for cores in LARGER}, "two cores: config.pbtxt"
    tuned = {"": DEFAULT}
    assert int8_series(tuned, int8=True) == dict.fromkeys(with_file, replace(DEFAULT, int8=True))
    assert int8_series(tuned, int8=False) == {}
    assert network_files(choose_serving("nowhere", MODEL), int8=True) == {
        "config.pbtxt": "",
        **{f"configs/cpu-{cores}.pbtxt": "" for cores in LARGER},
        **{f"configs/cpu-int8-{cores}.pbtxt": "model.int8.onnx" for cores in CORES},
        "configs/gpu.pbtxt": "model.gpu.onnx",
    }


def network_files(plan: ServingPlan, *, int8: bool) -> dict[str, str]:
    """Returns the file that each configuration names, by path."""
    info = CheckpointInfo(MODEL, "small_resnet", {}, ["stop"], [48, 48], {})
    return {path: config.default_model_filename for path, config in plan.configs(info, int8).items()}


def test_what_was_tuned_on_a_gpu_holds_there_and_nowhere_else(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(64), TUNING | {"target": "gpu", "max_batch": 256}, gpu=True)
    chosen = choose_serving(tmp_path, MODEL)
    assert chosen.serving == DEFAULT and "cpu-4" in chosen.servings
    assert chosen.servings["gpu"].max_batch == 256 and chosen.fixed_batches == (256,)
    assert choose_serving(tmp_path, MODEL, ServingOverrides("cpu")).tuning == {}


def test_a_queue_that_holds_no_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="a batch of 64 would never fill"):
        choose_serving(tmp_path, MODEL, ServingOverrides(max_queue=8))


def test_what_was_tuned_is_kept_and_leads_back_to_the_version_that_was_measured(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(64))
    publish_version(tmp_path, Serving(16), TUNING)
    chosen = choose_serving(tmp_path, MODEL)
    assert setting_in(chosen.tuning) == TUNED and chosen.tuning["from_version"] == 2
    assert (chosen.serving.instances, chosen.serving.threads, chosen.serving.max_batch) == (2, 1, 16)
    publish_version(tmp_path, chosen.serving, chosen.tuning)
    assert choose_serving(tmp_path, MODEL).tuning["from_version"] == 2, "not the one it was taken over from"
    config = classifier_config(MODEL, 48, 43, chosen.serving)
    assert retuned(classifier_config(MODEL, 48, 43, DEFAULT), TUNED) == config


def test_the_champion_counts_and_not_a_challenger(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(16), TUNING)
    publish_version(tmp_path, Serving(64))
    assert choose_serving(tmp_path, MODEL).tuning == {}
    promote(tmp_path, MODEL, 1, "")
    assert choose_serving(tmp_path, MODEL).tuning["from_version"] == 1


def test_what_was_tuned_for_another_target_is_not_kept(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(16), TUNING)
    chosen = choose_serving(tmp_path, MODEL, ServingOverrides("gpu"))
    assert chosen.tuning == {} and chosen.serving == ON_GPU


def test_a_larger_batch_than_the_queue_widens_the_queue(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(64), TUNING | {"max_batch": 2048})
    assert choose_serving(tmp_path, MODEL).serving.max_queue == 0
    assert choose_serving(tmp_path, MODEL, ServingOverrides(max_queue=64)).serving.max_queue == 2048


def test_target_cache_and_limits_stay_unless_asked_for(tmp_path: Path) -> None:
    chosen = Serving(64, target="cpu", response_cache=True, max_queue=100, queue_timeout_ms=2000)
    publish_version(tmp_path, chosen)
    kept = replace(DEFAULT, target="cpu", response_cache=True, max_queue=100, queue_timeout_ms=2000)
    assert choose_serving(tmp_path, MODEL).serving == kept
    both = choose_serving(tmp_path, MODEL, ServingOverrides("auto", False, 0, 0))
    assert both.serving == DEFAULT and "gpu" in both.servings


def test_what_was_set_by_hand_and_not_tuned_does_not_go_on_for_ever(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(32, queue_delay_us=7), gpu=True)
    assert choose_serving(tmp_path, MODEL).serving == DEFAULT, "or no better default would ever arrive"


def test_a_version_without_a_manifest_is_no_obstacle(tmp_path: Path) -> None:
    publish_version(tmp_path, Serving(64, target="cpu"), TUNING)
    (tmp_path / MODEL / "1" / "manifest.json").unlink()
    chosen = choose_serving(tmp_path, MODEL)
    assert chosen.tuning == {} and chosen.serving.target == "cpu"
