"""What peers compute, and those of their programs that run with the project's own packages, against ONNX Runtime."""

import io
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from clients.benchmark.onnx_network import OnnxNetwork
from clients.benchmark.peers.common import torch_network
from clients.benchmark.peers.common.signs_models import Classifier, Recognizer
from clients.benchmark.peers.exchange import Task, difference
from clients.benchmark.peers.generator import run_load
from clients.benchmark.peers.models import Work, answer_in_process, missing_models, prepare_work
from clients.benchmark.peers.preparation import serve_peer
from clients.benchmark.peers.running import Endpoint, ask, processes_marked, running
from clients.benchmark.peers.servers import PEERS, Hardware, Peer, environment_of
from export.arrays import Images
from export.drift_reference import open_recognizer
from export.repository import Manifest
from export.run import export_checkpoint
from tests.end_to_end.street import encode, street
from tests.red_detector import red_detector
from traffic_sign_client.errors import ClientError

CELLS = [(2, 3), (5, 1), (9, 7), (12, 4)]


@pytest.fixture(scope="module")
def classifier(repository: Path, manifest: Manifest) -> Path:
    return repository / "sign_classifier" / str(manifest.version) / "model.onnx"


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("red") / "1" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(red_detector(400, 680))
    return path


@pytest.fixture(scope="module")
def trained_detector(
    tmp_path_factory: pytest.TempPathFactory, detector_checkpoint: Path
) -> tuple[Path, npt.NDArray[np.uint8]]:
    """The project's own detector with random weights, as it is exported, and scenes for it."""
    repository = tmp_path_factory.mktemp("detectors")
    scenes: Images = np.random.default_rng(5).integers(0, 256, (4, 96, 160, 3), dtype=np.uint8)
    manifest = export_checkpoint(detector_checkpoint, repository, scenes)
    return repository / "sign_detector" / str(manifest.version) / "model.onnx", scenes


@pytest.fixture(scope="module")
def classify(classifier: Path, random_crops: npt.NDArray[np.uint8]) -> Work:
    models, images = {"sign_classifier": classifier}, [crop.tobytes() for crop in random_crops[:12]]
    return Work("classify", models, {}, images, answer_in_process(models, images), "blocks")


@pytest.fixture(scope="module")
def recognize(classifier: Path, detector: Path) -> Work:
    models = {"sign_classifier": classifier, "sign_detector": detector}
    images = [encode(street(CELLS, seed=1)), encode(street([], seed=2)), encode(street(CELLS[:2], 2, seed=3), "JPEG")]
    return Work("recognize", models, {}, images, answer_in_process(models, images), "streets")


@contextmanager
def served(name: str, work: Work, folder: Path, setting: dict[str, str]) -> Iterator[tuple[Peer, Endpoint]]:
    peer = next(peer for peer in PEERS if peer.name == name)
    with serve_peer(peer, Path(sys.executable).parent, work, setting, folder) as endpoint:
        yield peer, endpoint


def check_answers(peer: Peer, endpoint: Endpoint, work: Work) -> None:
    for image, expected in zip(work.images, work.expected, strict=True):
        request = peer.exchange.request(image, endpoint.host, endpoint.port)
        answer = peer.exchange.unwrap(*ask(endpoint.host, endpoint.port, request))
        assert difference(work.task, answer, expected) < 1e-3


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("fastapi_onnxruntime", "1"),
        ("fastapi_pytorch", "0"),
        pytest.param("fastapi_onnxruntime", "0", marks=pytest.mark.long),
        pytest.param("fastapi_pytorch", "1", marks=pytest.mark.long),
    ],
)
def test_the_fastapi_programs_answer_as_onnx_runtime(name: str, pool: str, classify: Work, tmp_path: Path) -> None:
    with served(name, classify, tmp_path, {"POOL": pool, "WORKERS": "1", "THREADS": "1"}) as (peer, endpoint):
        check_answers(peer, endpoint, classify)
        loaded = run_load(endpoint, peer.exchange, classify, 1.0, clients=2)
    assert loaded.checked > 0
    assert loaded.difference < 1e-3
    assert loaded.point.failures == 0


def test_a_program_finds_the_signs_of_photographs(recognize: Work, tmp_path: Path) -> None:
    setting = {"POOL": "1", "WORKERS": "1", "THREADS": "1"}
    with served("fastapi_onnxruntime", recognize, tmp_path, setting) as (peer, endpoint):
        check_answers(peer, endpoint, recognize)


def test_all_processes_of_a_server_end_with_it(classify: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"test-{os.getpid()}"
    monkeypatch.setattr(secrets, "token_hex", lambda length: mark)
    setting = {"POOL": "0", "WORKERS": "2", "THREADS": "1"}
    with served("fastapi_onnxruntime", classify, tmp_path, setting) as (_, endpoint):
        assert len(processes_marked(mark)) >= 3  # uvicorn and its two workers
    assert not processes_marked(mark)
    with pytest.raises(OSError):
        ask(endpoint.host, endpoint.port, b"")


def test_a_program_that_ends_is_named_with_its_reason(classify: Work, tmp_path: Path) -> None:
    missing = Work("classify", {"sign_classifier": tmp_path / "none.onnx"}, {}, classify.images, [], "")
    with (
        pytest.raises(ClientError, match=r"it ended at once with exit code \d+: .*none.onnx"),
        served("fastapi_onnxruntime", missing, tmp_path, {"WORKERS": "1", "POOL": "0"}),
    ):
        pass
    with (
        pytest.raises(ClientError, match="cannot start"),
        running([str(tmp_path / "nothing")], dict(os.environ), 1, b"", tmp_path / "server.log"),
    ):
        pass


def test_wrong_answers_are_not_measured(classify: Work, tmp_path: Path) -> None:
    turned = Work("classify", classify.models, {}, classify.images, classify.expected[::-1], "")
    setting = {"POOL": "0", "WORKERS": "1", "THREADS": "1"}
    with (
        pytest.raises(ClientError, match=r"answers differ by .* from ONNX Runtime's"),
        served("fastapi_onnxruntime", turned, tmp_path, setting) as (peer, endpoint),
    ):
        run_load(endpoint, peer.exchange, turned, 1.0, clients=2)


def test_peers_recognize_as_the_recognizer_does(recognize: Work) -> None:
    """Their networks are opened without the project's export; its own recognizer says what is right."""
    from PIL import Image

    folders = {name: path.parents[2] for name, path in recognize.models.items()}
    repository = folders["sign_classifier"].parent / "both"
    repository.mkdir(exist_ok=True)
    for name, path in recognize.models.items():
        target = repository / name / "1"
        target.mkdir(parents=True, exist_ok=True)
        (target / "model.onnx").write_bytes(path.read_bytes())
    ours = open_recognizer(repository, 0.3, dict.fromkeys(recognize.models, 1))
    for image, answer in zip(recognize.images, recognize.expected, strict=True):
        _, signs = ours(Image.open(io.BytesIO(image)).convert("RGB"))
        expected = [
            {"box": box, "score": score, "class_id": class_id, "class_score": class_score}
            for box, score, class_id, class_score in zip(
                signs.boxes.tolist(),
                signs.detection_scores.tolist(),
                signs.class_ids.tolist(),
                signs.class_scores.tolist(),
                strict=True,
            )
        ]
        assert difference("recognize", answer, json.dumps({"signs": expected}).encode()) < 1e-3
    assert [len(json.loads(answer)["signs"]) for answer in recognize.expected] == [4, 0, 2]


def test_batches_are_answered_as_single_images(classify: Work, recognize: Work) -> None:
    network = OnnxNetwork(classify.models["sign_classifier"], 1)
    for work, model in (
        (classify, Classifier(network)),
        (recognize, Recognizer(OnnxNetwork(recognize.models["sign_detector"], 1), network)),
    ):
        for answer, expected in zip(model(work.images), work.expected, strict=True):
            assert difference(work.task, answer, expected) < 1e-5


def test_pytorch_computes_what_the_onnx_file_says(
    classifier: Path, trained_detector: tuple[Path, npt.NDArray[np.uint8]], random_crops: npt.NDArray[np.uint8]
) -> None:
    for path, images in ((classifier, random_crops[:8]), trained_detector):
        eager, reference = torch_network.TorchNetwork(path, 1), OnnxNetwork(path, 1)
        assert eager.size == reference.size
        outputs, right = eager(images), reference(images)
        # Cells that are no peak have a score of 0, and nobody says in which order they come.
        sure = np.ones(right[0].shape[:1], bool) if len(right) == 1 else right[1] > 0.01
        assert sure.any()
        for found, expected in zip(outputs, right, strict=True):
            assert found.dtype == expected.dtype
            assert np.abs(found[sure].astype(np.float64) - expected[sure]).max() < 1e-3


def test_pytorch_refuses_an_operation_that_it_does_not_know(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Erf", ["images"], ["out"])],
        "other",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 4, 4, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4, 4, 3])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph), path)
    with pytest.raises(ValueError, match="the operation Erf"):
        torch_network.TorchNetwork(path, 1)


def test_work_is_drawn_or_read(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    task: Task = "classify"
    drawn = prepare_work(repository, task, None)
    assert len(drawn.images) == len(drawn.expected) == 64
    assert len(set(drawn.images)) == 64
    street([(1, 1)]).save(tmp_path / "one.png")
    read = prepare_work(repository, task, tmp_path)
    assert [len(image) for image in read.images] == [48 * 48 * 3]
    (tmp_path / "two.png").write_bytes(b"nothing")
    with pytest.raises(ClientError, match=r"two.png cannot be sent"):
        prepare_work(repository, task, tmp_path)
    assert missing_models(repository, "recognize") == ["sign_detector"]
    assert missing_models(repository, task) == []


def test_work_fits_the_hardware(repository: Path, manifest: Manifest, tmp_path: Path) -> None:
    single, several = (prepare_work(repository, "classify", None, Hardware(2, gpu=True), crops) for crops in (1, 32))
    assert (single.largest_batch, several.largest_batch) == (64, 2)
    assert several.shape == (32, 48, 48, 3)
    assert several.images[0] == b"".join(single.images[:32])
    assert several.expected[0] == b"".join(single.expected[:32])
    assert several.images[-1].startswith(single.images[-1])
    assert single.fitting["sign_classifier"].name == "model.gpu.onnx"
    shutil.copytree(repository / "sign_classifier", tmp_path / "sign_classifier")
    for path in tmp_path.rglob("*gpu*"):
        path.unlink()
    folder = tmp_path / "sign_classifier" / str(manifest.version)
    (folder / "manifest.json").unlink()
    with pytest.raises(ClientError, match="no file for GPUs: export sign_classifier again, or leave out --device"):
        prepare_work(tmp_path, "classify", None, Hardware(2, gpu=True))


def test_each_peer_has_its_program_and_exact_versions() -> None:
    for peer in PEERS:
        assert (peer.folder / "server.py").is_file()
        lines = peer.requirements(gpu=False).splitlines()
        assert lines
        assert all("==" in line for line in lines), peer.name
        assert any(line.startswith(f"{peer.package}==") for line in lines)
        for hardware in (Hardware(1), Hardware(2), Hardware(16), Hardware(16, gpu=True)):
            settings: list[dict[str, Any]] = list(peer.settings(hardware, 32))
            assert settings
            assert len({str(setting) for setting in settings}) == len(settings) or hardware.cores == 1
            assert all(isinstance(value, str) for setting in settings for value in setting.values())


def test_on_a_gpu_each_peer_has_that_build_and_the_file_with_a_fixed_batch(tmp_path: Path) -> None:
    """What is installed and started; there is no GPU here to compute on."""
    models = {"sign_classifier": tmp_path / "model.onnx"}
    for peer in PEERS:
        builds = {line.partition("==")[0] for line in peer.requirements(gpu=True).splitlines()}
        assert ("onnxruntime-gpu" in builds, "onnxruntime" in builds) == (peer.runtime == "onnxruntime", False)
        assert peer.runtime_package(gpu=True) in builds
        settings = peer.settings(Hardware(16, gpu=True), 64)
        started = [environment_of(peer, models, setting, 1, tmp_path, "cuda") for setting in settings]
        assert {each["DEVICE"] for each in started} == {"cuda"}
        taken = {Path(each["CLASSIFIER"]).name for each in started}
        assert ("model.gpu.onnx" in taken) == (peer.runtime == "onnxruntime"), "PyTorch has no search to be spared"


def test_the_file_with_a_fixed_batch_answers_any_number_of_crops(classifier: Path) -> None:
    crops = np.random.default_rng(3).integers(0, 256, (70, 48, 48, 3), np.uint8)
    fixed, free = OnnxNetwork(classifier.with_name("model.gpu.onnx"), 1), OnnxNetwork(classifier, 1)
    assert (fixed.largest, free.largest) == (64, 0)
    assert np.abs(fixed(crops)[0] - free(crops)[0]).max() < 1e-5


def test_no_gpu_is_no_silent_cpu(classifier: Path, classify: Work, tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime knows GPUs")
    work = replace(classify, hardware=Hardware(1, gpu=True))
    with (
        pytest.raises(ClientError, match="cannot use a GPU here"),
        served("fastapi_onnxruntime", work, tmp_path, {"WORKERS": "1"}),
    ):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_pytorch_computes_on_a_gpu_as_on_a_cpu(classifier: Path, random_crops: npt.NDArray[np.uint8]) -> None:
    on_gpu, reference = torch_network.TorchNetwork(classifier, 1, "cuda"), OnnxNetwork(classifier, 1)
    assert np.abs(on_gpu(random_crops[:8])[0] - reference(random_crops[:8])[0]).max() < 1e-3
