"""The project's own server in the comparison: a real tritonserver, asked as the others are."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from clients.benchmark.peers import exchange, triton
from clients.benchmark.peers.exchange import TASKS, difference
from clients.benchmark.peers.generator import run_load
from clients.benchmark.peers.models import prepare_work
from clients.benchmark.peers.running import ask
from clients.benchmark.peers.servers import Hardware
from export.repository import Manifest
from export.repository.policy import read_config
from export.tuning.plan import Setting
from serving.install import Installation
from tests.end_to_end.street import encode, street
from tests.red_detector import publish_red_detector

CELLS = [(2, 3), (5, 1), (9, 7)]

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, repository: Path, manifest: Manifest) -> Path:
    """A repository with a classifier and a detector, without a recognizer."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(repository / "sign_classifier", folder / "sign_classifier")
    publish_red_detector(folder)
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_triton_answers_as_onnx_runtime(
    task: exchange.Task, installation: Installation, both: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(3):
        (pictures / f"{number}.png").write_bytes(encode(street(CELLS[:number], seed=number)))
    work = prepare_work(both, task, pictures, Hardware(2))
    asked = triton.exchange_for(work)
    before = sorted(both.rglob("*"))
    (tmp_path / "served").mkdir()
    setting = triton.settings(both, work)[-1]
    with triton.running_triton(installation, both, work, setting, tmp_path / "served") as endpoint:
        for image, expected in zip(work.images, work.expected, strict=True):
            response = ask(endpoint.host, endpoint.port, asked.request(image, endpoint.host, endpoint.port))
            assert difference(task, asked.unwrap(*response), expected) < 1e-3
        loaded = run_load(endpoint, asked, work, 1.0, clients=2)
    assert loaded.checked > 0
    assert loaded.point.failures == 0
    assert sorted(both.rglob("*")) == before


def test_the_copy_has_the_setting_and_no_cache(both: Path, tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes(encode(street(CELLS)))
    work = prepare_work(both, "classify", picture, Hardware(2))
    present, *others = triton.settings(both, work)
    assert {(each.instances, each.threads, each.queue_delay_us) for each in (present, *others)} >= {
        (2, 1, 0),
        (2, 1, 200),
        (1, 2, 0),
    }
    triton.stage(both, work, others[0], tmp_path / "served")
    config = read_config((tmp_path / "served" / "sign_classifier" / "config.pbtxt").read_bytes(), "")
    assert config.instance_group[0].count == 2
    assert not config.response_cache.enable
    assert [path.name for path in (tmp_path / "served").iterdir()] == ["sign_classifier"]
    assert present.max_batch == others[0].max_batch


def test_for_scenes_the_detector_has_the_setting_and_a_recognizer_for_each(both: Path, tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes(encode(street(CELLS)))
    work = prepare_work(both, "recognize", picture, Hardware(2))
    setting = Setting(3, 1, 0, 4)
    triton.stage(both, work, setting, tmp_path / "served")

    def instances(model: str) -> int:
        path = tmp_path / "served" / model / "config.pbtxt"
        return int(read_config(path.read_bytes(), "").instance_group[0].count)

    assert [instances(f"sign_{name}") for name in ("classifier", "detector", "recognizer")] == [2, 3, 3]


def test_a_request_may_have_several_crops(installation: Installation, both: Path, tmp_path: Path) -> None:
    work = prepare_work(both, "classify", None, Hardware(2), crops=3)
    asked, setting = triton.exchange_for(work), triton.settings(both, work)[0]
    with triton.running_triton(installation, both, work, setting, tmp_path) as endpoint:
        response = ask(endpoint.host, endpoint.port, asked.request(work.images[0], endpoint.host, endpoint.port))
        answer = asked.unwrap(*response)
        loaded = run_load(endpoint, asked, work, 0.5, clients=2)
    assert len(answer) == len(work.expected[0]) == 3 * 43 * np.float32().nbytes
    assert difference("classify", answer, work.expected[0]) < 1e-3
    assert loaded.point.failures == 0


def test_on_other_hardware_its_configuration_has_the_setting(
    repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    """The configuration for GPUs is staged and not served: no GPU is here."""
    for hardware, name, file in (
        (Hardware(16, gpu=True), "configs/gpu.pbtxt", "model.gpu.onnx"),
        (Hardware(8), "configs/cpu-8.pbtxt", "model.onnx"),
    ):
        work = prepare_work(repository, "classify", None, hardware)
        present, *others = triton.settings(repository, work)
        place = tmp_path / name.replace("/", "-")
        triton.stage(repository, work, others[0], place)
        config = read_config((place / "sign_classifier" / name).read_bytes(), "")
        assert (config.default_model_filename or "model.onnx") == file
        assert config.instance_group[0].count == others[0].instances != present.instances or hardware.cores == 8
        assert config.max_batch_size == 64
