"""What all tests share: the command line, real tritonservers, and a model to serve."""

import fcntl
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

# Here and in all that tests start, before PyTorch is imported: the tests run in two processes, and threads of OpenMP
# that have lost their core to the other one keep all of theirs waiting.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import pytest
import torch

from clients.command.main import main
from export.repository import Manifest, load_manifest
from export.run import export_checkpoint
from export.samples import Labels
from export.settings import PrecisionRequest
from serving.errors import ServingError
from serving.install import Installation, find_interpreter, find_or_install
from serving.server import RunningServer, running_server
from tests.fixture_types import Once, Serve, Signs
from tests.taught_classifier import taught_classifier
from traffic_signs.classes import CLASS_NAMES, GERMAN_SIGNS, NUM_CLASSES
from training.checkpoint import CheckpointInfo, save_checkpoint
from training.models.detector import SignDetector

ROOT = Path(__file__).parents[1]
LONG_S = 1800.0  # the timeout of a test that is marked `long`, unless it has its own

# What `make tools` installs, after what this machine has.
os.environ["PATH"] += f"{os.pathsep}{ROOT / '.tools' / 'bin'}"

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # once all is left out that -m leaves out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives long tests their timeout; puts the files first whose tests may take longest, then those with servers."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))

    def patience(item: pytest.Item) -> tuple[float, bool]:
        timeout = item.get_closest_marker("timeout")
        return (timeout.args[0] if timeout and timeout.args else 0.0, item.get_closest_marker("end_to_end") is not None)

    longest: dict[Path, tuple[float, bool]] = {}
    for item in items:
        longest[item.path] = max(patience(item), longest.get(item.path, (0.0, False)))
    items.sort(key=lambda item: longest[item.path], reverse=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Ends the run with one line: what was skipped for want of what, and how to have it."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # in a process of pytest-xdist
        return
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", []))
    if reasons:
        reporter.write_line("skipped: " + "; ".join(f"{count} {reason}" for reason, count in reasons.most_common()))


@pytest.fixture
def run_signs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Returns a function that runs `signs ARGUMENTS` in this process and returns its exit code."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("no_proxy", "NO_PROXY"):  # the command adds to them, and a later test must not inherit that
        monkeypatch.setenv(name, os.environ.get(name, ""))
        if not os.environ[name]:
            monkeypatch.delenv(name)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["signs", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def signs(
    run_signs: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Signs:
    """Returns a function that runs `signs ARGUMENTS` in an empty folder; see `tests.fixture_types`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_signs(*arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Returns a function that gives all processes of pytest-xdist one folder, which the first of them fills."""
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, part = common / f"once-{name}", common / f"once-{name}-part"
        with (common / f"once-{name}-lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)  # of one that has failed
                part.mkdir()
                fill(part)
                part.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def installation(once: Once) -> Installation:
    """A real tritonserver; skips where this machine can have none."""
    try:
        find_interpreter()
    except ServingError as error:
        pytest.skip(str(error))
    home = ROOT / ".tritonserver"
    once("tritonserver", lambda _: find_or_install(home, print))
    return find_or_install(home, print)


@pytest.fixture(scope="session")
def random_crops() -> npt.NDArray[np.uint8]:
    """Coloured blocks in the shape of sign crops, uint8 [80, 48, 48, 3]: finer noise looks all alike to a network."""
    blocks = np.random.default_rng(7).integers(0, 256, (80, 6, 6, 3), dtype=np.uint8)
    return blocks.repeat(8, axis=1).repeat(8, axis=2)


@pytest.fixture(scope="session")
def checkpoint(once: Once, random_crops: npt.NDArray[np.uint8]) -> Path:
    """A checkpoint of a sign classifier that is sure of `random_crops` and of the signs of the tiny GTSDB."""
    data = {"name": "none", "fingerprint": "0" * 64}
    info = CheckpointInfo("sign_classifier", "small_resnet", {}, list(CLASS_NAMES), [48, 48], data)

    def save(folder: Path) -> None:
        save_checkpoint(folder / "checkpoint", taught_classifier(random_crops), info)

    return once("classifier", save) / "checkpoint"


@pytest.fixture(scope="session")
def detector_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small detector of scenes of 96x160 pixels, with weights that are random but the same each time.

    It is sure enough of what it sees to find something.
    """
    torch.manual_seed(3)
    arguments = {"widths": [8, 8, 16, 16, 16], "neck": 16}
    model = SignDetector(len(GERMAN_SIGNS.category_names), **arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        model.answers.weight.mul_(6)
        model.get_parameter("answers.bias").zero_()
    data = {"name": "none", "fingerprint": "0" * 64}
    info = CheckpointInfo("sign_detector", "centre_net", arguments, list(GERMAN_SIGNS.category_names), [96, 160], data)
    folder = tmp_path_factory.mktemp("detector") / "checkpoint"
    save_checkpoint(folder, model, info)
    return folder


@pytest.fixture(scope="session")
def repository(once: Once, checkpoint: Path, random_crops: npt.NDArray[np.uint8]) -> Path:
    """A model repository with the checkpoint, exported and published as version 1."""
    return once("repository", lambda folder: export_checkpoint(checkpoint, folder, random_crops))


@pytest.fixture(scope="session")
def int8_repository(once: Once, checkpoint: Path, random_crops: npt.NDArray[np.uint8]) -> Path:
    """A model repository with the checkpoint, published as version 1 with an int8 file for CPUs beside the fp32 one."""
    labels = Labels(np.arange(len(random_crops)) % NUM_CLASSES, random_crops[:16], "blocks")
    wanted = PrecisionRequest("int8", max_loss=0.05)
    return once("int8_repository", lambda folder: export_checkpoint(checkpoint, folder, random_crops, wanted, labels))


@pytest.fixture(scope="session")
def manifest(repository: Path) -> Manifest:
    """The manifest of that version."""
    return load_manifest(repository, "sign_classifier", 1)


@pytest.fixture(scope="session")
def serve(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Returns a function that starts a real tritonserver on a repository; it ends after the last test."""
    with ExitStack() as servers:

        def start(repository: Path) -> RunningServer:
            log = tmp_path_factory.mktemp("server") / "tritonserver.log"
            return servers.enter_context(running_server(installation, repository, log))

        yield start


@pytest.fixture(scope="session")
def server(serve: Serve, repository: Path, manifest: Manifest) -> RunningServer:
    """A real tritonserver that serves version 1 of the sign classifier."""
    return serve(repository)
