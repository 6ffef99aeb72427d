"""`signs export tune` on a real tritonserver: the best is published, and nothing else ever changes."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from export.config import Serving, to_text
from export.repository import Manifest, load_manifest, promote, publish
from export.repository.policy import read_config
from export.repository.verification import verify
from export.run import export_checkpoint
from export.tuning.plan import setting_of
from serving.install import Installation
from serving.server import running_server
from tests.export.repository.samples import tree
from tests.network_configs import classifier_config
from tests.serving.test_server import alive, children, wait_until

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
MODEL = "sign_classifier"
# Waits for batches that 4 requests at a time never fill: whatever is slow here, that is slower.
SLOW = Serving(64, queue_delay_us=900_000)
SMALL = ("--concurrency", "4", "--instances", "1", "--threads", "1", "--queue-delay-us", "0", "--max-batch", "8")
SHORT = ("--seconds", "1.2", "--rounds", "2")


def publish_served(repository: Path, place: Path, serving: Serving) -> None:
    """Publishes version 1 of the repository once more, served in another way."""
    folder = repository / MODEL / "1"
    files = {name: (folder / name).read_bytes() for name in ("model.onnx", "warmup/images-48x48x3.bin")}
    config = to_text(classifier_config(MODEL, 48, 43, serving))
    shared = {"config.pbtxt": config, "labels.txt": (folder / "labels.txt").read_text()}
    publish(place, MODEL, files, shared, {"precision": "fp32"})


@pytest.fixture
def place(repository: Path, manifest: Manifest, tmp_path: Path) -> Path:
    """A repository whose version 1, the champion, is badly served."""
    publish_served(repository, tmp_path / "models", SLOW)
    promote(tmp_path / "models", MODEL, 1, "")
    return tmp_path / "models"


def command(place: Path, *options: str) -> list[str]:
    code = "from clients.command.main import main; main()"
    home = ("--home", str(ROOT / ".tritonserver"), "--output", str(place.parent / "out"))
    return [sys.executable, "-c", code, "export", "tune", MODEL, "-r", str(place), *home, *options]


def tune(place: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    # Its temporary files go where the test can see what is left of them.
    (place.parent / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(place.parent / "tmp")}
    return subprocess.run(
        command(place, *options), capture_output=True, text=True, check=False, timeout=280, env=environment
    )


def test_the_best_becomes_the_next_version_and_later_exports_keep_it(
    installation: Installation, place: Path, checkpoint: Path, tmp_path: Path
) -> None:
    config = place / MODEL / "config.pbtxt"
    served = config.read_bytes()
    result = tune(place, "--latency-budget-ms", "60000", *SMALL, *SHORT, "--yes", "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert json.loads((tmp_path / "out" / "tuning.json").read_text()) == summary
    assert summary["chosen"] == {"instances": 1, "threads": 1, "queue_delay_us": 0, "max_batch": 8}
    assert summary["published"] == 2 and len(summary["outcomes"]) == 2
    assert (tmp_path / "out" / "tuning.png").read_bytes().startswith(b"\x89PNG")
    assert "promote sign_classifier 2" in result.stderr
    assert not list((tmp_path / "tmp").glob("signs-*")), "its own copies are gone"
    manifest = load_manifest(place, MODEL, 2)
    assert manifest.tuning["latency_budget_ms"] == 60000 and manifest.tuning["p99_ms"] > 0
    assert manifest.files["model.onnx"] == load_manifest(place, MODEL, 1).files["model.onnx"]
    assert config.read_bytes() == served, "the champion is served as before"
    assert not any(check.problems for check in verify(place))
    promote(place, MODEL, 2, "tuned")
    assert setting_of(read_config(config.read_bytes(), "")).queue_delay_us == 0
    with (
        running_server(installation, place, tmp_path / "log") as server,
        urllib.request.urlopen(f"http://{server.http_url}/v2/models/{MODEL}/config", timeout=60) as answer,
    ):
        assert json.load(answer)["max_batch_size"] == 8
    later = export_checkpoint(checkpoint, place, np.empty((0, 48, 48, 3), np.uint8))
    assert later.tuning["from_version"] == 2
    assert (place / MODEL / "3" / "config.pbtxt").read_bytes() != (place / MODEL / "1" / "config.pbtxt").read_bytes()
    own = read_config((place / MODEL / "3" / "config.pbtxt").read_bytes(), "")
    assert setting_of(own) == setting_of(read_config(config.read_bytes(), ""))
    assert not any(check.problems for check in verify(place))


def test_where_nothing_is_within_the_budget_it_says_the_best_and_changes_nothing(
    installation: Installation, place: Path, repository: Path
) -> None:
    # Version 2 takes less than is sent at a time: what was refused was not served, however fast the rest was.
    publish_served(repository, place, Serving(8, max_queue=8))
    before = tree(place)
    options = ("--concurrency", "200", *SMALL[2:-1], "8,512", "--seconds", "3", "--rounds", "1", "--yes")
    result = tune(place, "2", "--latency-budget-ms", "0.001", *options)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "no setting answers 99 of 100 requests within 0.001 ms; the best p99 was" in last
    assert "batch 512" in last and "--latency-budget-ms" in last
    assert tree(place) == before
    summary = json.loads((place.parent / "out" / "tuning.json").read_text())
    problems = {each["setting"]["max_batch"]: each["problem"] for each in summary["outcomes"]}
    assert "requests were refused: " in problems[8] and "Exceeds maximum queue size" in problems[8]
    assert problems[512] == "", "its queue is as long as its batch"
    assert summary["chosen"] is None and summary["published"] is None


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_stopped_it_keeps_whole_rounds_and_leaves_the_repository_and_no_server(
    installation: Installation, place: Path, how: signal.Signals
) -> None:
    before = tree(place)
    options = ("--latency-budget-ms", "700", *SMALL, "--seconds", "1.2", "--rounds", "100", "--yes")
    scratch = place.parent / "tmp"
    scratch.mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        command(place, *options),
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup ignores
    )
    assert process.stderr is not None
    report = place.parent / "out" / "tuning.json"
    assert wait_until(report.exists, 120), "it never measured"
    time.sleep(0.5)
    family = children(process.pid)
    assert family
    process.send_signal(how)
    said = process.stderr.read()
    process.wait(60)
    process.stderr.close()
    assert process.returncode == {signal.SIGINT: 130, signal.SIGHUP: 129, signal.SIGKILL: -9}[how], said
    assert "Traceback" not in said
    assert wait_until(lambda: not any(alive(pid) for pid in family), 60), "a server outlived it"
    assert tree(place) == before
    summary = json.loads(report.read_text())
    assert summary["published"] is None and any(each["images_per_second"] for each in summary["outcomes"])
    assert how == signal.SIGKILL or not any(scratch.iterdir()), "temporary files are left"
