"""What a real tritonserver serves follows the repository: promotion, rollback, pull, and no damaged file ever."""

import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import pytest

from export.gpu_file import write_gpu_file
from export.precision import FP32, TOLERANCES
from export.predictor import OnnxPredictor
from export.repository import Manifest, promote, publish, publish_copy, rollback
from export.repository.manifest import GPU_FILE, MODEL_FILE
from export.repository.pull import pull
from serving.errors import ServingError
from serving.install import Installation
from serving.loading import load
from serving.server import RELOADABLE, RunningServer, running_server, served_versions
from tests.signs_here import signs_here
from traffic_sign_client import SignClient

pytestmark = pytest.mark.end_to_end

TOLERANCE = TOLERANCES[FP32].difference
ROOT = Path(__file__).parents[2]
MODEL = "sign_classifier"
Crops = npt.NDArray[np.uint8]


@pytest.fixture
def two_versions(repository: Path, manifest: Manifest, tmp_path: Path) -> Path:
    """A repository with two versions that answer differently; 1 is the champion."""
    place = tmp_path / "models"
    publish_copy(repository / MODEL / "1", place)
    publish_other(place, 3.0)
    promote(place, MODEL, 1, "the first")
    return place


def publish_other(place: Path, factor: float) -> Manifest:
    """Publishes version 1 once more with other weights in its last layer."""
    folder = place / MODEL / "1"
    model = onnx.load(folder / "model.onnx")
    weights = next(each for each in model.graph.initializer if each.name.endswith("head.weight"))
    changed = onnx.numpy_helper.to_array(weights)[::-1] * np.float32(factor)
    weights.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(changed), weights.name))
    configs = (path.relative_to(folder).as_posix() for path in folder.glob("configs/*"))
    shared = {name: (folder / name).read_text() for name in ("config.pbtxt", "labels.txt", *configs)}
    made = place.parent / "made"
    made.mkdir(exist_ok=True)
    onnx.save(model, made / MODEL_FILE)
    write_gpu_file(made / MODEL_FILE, made, (64,), "fp32")
    files = {name: (made / name).read_bytes() for name in (MODEL_FILE, GPU_FILE)}
    return publish(place, MODEL, files, shared, {"precision": "fp32"})


def answers(place: Path, version: int, crops: Crops) -> npt.NDArray[np.float32]:
    return OnnxPredictor(place / MODEL / str(version) / "model.onnx")(crops)["probabilities"]


class Asker:
    """Asks a server without naming a version, over and over; notes which version's answer it got, and each failure."""

    def __init__(self, server: RunningServer, known: dict[int, npt.NDArray[np.float32]], crops: Crops) -> None:
        self.known, self.crops = known, crops
        self.seen: list[int] = []
        self.failures: list[str] = []
        self.client = SignClient(server.grpc_url)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Asker":
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        self.thread.join()
        self.client.close()

    def wait_for(self, version: int) -> None:
        """Waits until answers come from a version and no other."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not self.failures:
            if len(self.seen) > 20 and set(self.seen[-20:]) == {version}:
                return
            time.sleep(0.05)
        pytest.fail(f"version {version} does not answer: {self.seen[-20:]}, {self.failures}")

    def _run(self) -> None:
        while not self.stopping.is_set():
            try:
                found = self.client.probabilities(self.crops)
            except Exception as error:
                self.failures.append(str(error))
                return
            near = [number for number, each in self.known.items() if np.abs(each - found).max() <= TOLERANCE]
            if len(near) == 1:
                self.seen.append(near[0])
            else:
                self.failures.append("the answer is that of no version")
            time.sleep(0.02)


def test_a_server_that_polls_follows_promotions_and_answers_all_the_time(
    installation: Installation, two_versions: Path, random_crops: Crops, tmp_path: Path
) -> None:
    crops = random_crops[:4]
    known = {number: answers(two_versions, number, crops) for number in (1, 2)}
    assert np.abs(known[1] - known[2]).max() > 0.01
    poll = ("--model-control-mode=poll", "--repository-poll-secs=1")
    with (
        running_server(installation, two_versions, tmp_path / "log", extra_arguments=poll) as server,
        Asker(server, known, crops) as asker,
    ):
        asker.wait_for(1)
        publish_other(two_versions, 0.5)
        time.sleep(4)  # several polls
        assert set(asker.seen) == {1}, "a challenger changes nothing"
        assert served_versions(server) == [(MODEL, "1")]
        promote(two_versions, MODEL, 2, "better")
        asker.wait_for(2)
        rollback(two_versions, MODEL, "not better")
        asker.wait_for(1)
        assert served_versions(server) == [(MODEL, "1")]
    assert asker.failures == []


def test_a_reloadable_server_is_reloaded_and_answers_all_the_time(
    installation: Installation, two_versions: Path, random_crops: Crops, tmp_path: Path
) -> None:
    crops = random_crops[:4]
    known = {number: answers(two_versions, number, crops) for number in (1, 2)}
    with (
        running_server(installation, two_versions, tmp_path / "log", extra_arguments=RELOADABLE) as server,
        Asker(server, known, crops) as asker,
    ):
        asker.wait_for(1)
        promote(two_versions, MODEL, 2, "better")
        load(server.http_url, MODEL, 2, 60)
        asker.wait_for(2)
        damage(two_versions / MODEL / "1" / "model.onnx", at=0)
        with pytest.raises(ServingError, match="answers: load failed for model"):
            rollback_unchecked(two_versions)
            load(server.http_url, MODEL, 1, 60)
        asker.wait_for(2)
        promote(two_versions, MODEL, 2, "back")
        load(server.http_url, MODEL, 2, 60)
        asker.wait_for(2)
    assert asker.failures == []
    with pytest.raises(ServingError, match="signs serve --reloadable"):
        load(server.http_url, MODEL, 2, 5)


def test_a_server_that_cannot_be_reloaded_says_so(server: RunningServer) -> None:
    with pytest.raises(ServingError, match="signs serve --reloadable"):
        load(server.http_url, MODEL, 1, 10)


def rollback_unchecked(place: Path) -> None:
    """Has config.pbtxt name version 1, which is damaged: `signs repository` would refuse that."""
    path = place / MODEL / "config.pbtxt"
    path.write_text(re.sub(r"versions: \d+", "versions: 1", path.read_text()))


def test_a_server_starts_on_exactly_what_was_pulled(
    installation: Installation, two_versions: Path, random_crops: Crops, tmp_path: Path, bucket: str
) -> None:
    for number in (1, 2):
        publish_copy(two_versions / MODEL / str(number), bucket)
    pull(bucket, tmp_path / "served", {MODEL: [1, 2]})
    pull(bucket, tmp_path / "served", {MODEL: [2]})
    with running_server(installation, tmp_path / "served", tmp_path / "log") as server:
        assert served_versions(server) == [(MODEL, "2")], "1 is there, and not asked for"
        with SignClient(server.grpc_url) as client:
            served = client.probabilities(random_crops)
    assert np.abs(served - answers(two_versions, 2, random_crops)).max() <= TOLERANCE


def serve(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    home = ["--home", str(ROOT / ".tritonserver"), "--log", str(place.parent / "serve.log")]
    return signs_here("serve", "--repository", str(place), *home, *arguments)


def damage(path: Path, at: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 1  # in the middle are weights: ONNX Runtime would load it and answer wrongly
    path.write_bytes(content)


@pytest.mark.parametrize("change", [damage, Path.unlink])
def test_signs_serve_refuses_a_tampered_file_and_names_it(two_versions: Path, change: Callable[[Path], None]) -> None:
    change(two_versions / MODEL / "1" / "model.onnx")
    result = serve(two_versions)
    assert result.returncode == 1
    assert "sign_classifier/1/model.onnx" in result.stderr and "is not served" in result.stderr
    assert not (two_versions.parent / "serve.log").exists(), "nothing was started"


def test_signs_serve_looks_at_what_it_serves_and_at_signatures(two_versions: Path, tmp_path: Path) -> None:
    damage(two_versions / MODEL / "2" / "model.onnx")
    taken = ("--http-port", "1", "--grpc-port", "1")  # ends it after the check, before the start
    assert "a port each" in serve(two_versions, *taken).stderr, "a damaged challenger is no reason not to serve"
    result = serve(two_versions, "--public-key", str(tmp_path / "nowhere.pub"), *taken)
    assert result.returncode == 1 and "nowhere.pub" in result.stderr
    damage(two_versions / MODEL / "1" / "model.onnx")
    assert "a port each" in serve(two_versions, "--no-verify", *taken).stderr
    assert "give one of them" in serve(two_versions, "--no-verify", "--public-key", "x", *taken).stderr
