"""The project's own server in the comparison: the same files in a repository of its own, with a setting to try."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from clients.benchmark.peers import exchange
from clients.benchmark.peers.exchange import Exchange
from clients.benchmark.peers.models import Work
from clients.benchmark.peers.running import Endpoint
from export.config import to_text
from export.kinds import CLASSIFIER, DETECTOR
from export.recognizer import RECOGNIZER, export_recognizer
from export.repository.policy import CONFIG, config_path, read_config
from export.tuning.plan import Setting, retuned, setting_of
from serving.install import Installation
from serving.server import running_server


def model_of(work: Work) -> str:
    """Returns the model that is asked in a task."""
    return CLASSIFIER.name if work.task == "classify" else RECOGNIZER


def exchange_for(work: Work) -> Exchange:
    """Returns how Triton is asked: raw bytes are a batch of one, and a larger one needs its shape before them."""
    shape = work.shape if work.shape[:1] > (1,) else ()
    return exchange.triton(model_of(work), CLASSIFIER.input.name, shape)


def settings(repository: Path, work: Work) -> list[Setting]:
    """Returns the settings to try, the present one first: of the classifier, or for whole scenes of the detector."""
    path, cores = _config(repository / _tuned(work), work), work.hardware.cores
    present = setting_of(read_config(path.read_bytes(), str(path)))
    if work.hardware.gpu:
        tried = [Setting(count, 0, delay, present.max_batch) for count in (1, 2, 4) for delay in (0, 200)]
    else:
        tried = [Setting(cores, 1, delay, present.max_batch) for delay in (0, 200)]
        tried.append(Setting(1, cores, 0, present.max_batch))
    return list(dict.fromkeys((present, *tried)))


def _tuned(work: Work) -> str:
    """Returns the model that takes most of the time."""
    return CLASSIFIER.name if work.task == "classify" else DETECTOR.name


def _config(folder: Path, work: Work) -> Path:
    """Returns the configuration of a model that Triton takes on the hardware."""
    path = folder / config_path(work.hardware.configuration)
    return path if path.is_file() else folder / CONFIG


@contextlib.contextmanager
def running_triton(
    installation: Installation, repository: Path, work: Work, setting: Setting, folder: Path
) -> Iterator[Endpoint]:
    """Serves the models of a task with a setting for as long as the block runs.

    Args:
        installation: the tritonserver.
        repository: that the models are in; it is not changed.
        work: what is to be served.
        setting: of the model that takes most of the time.
        folder: empty; takes the copy that is served, and the log.

    Raises:
        serving.errors.ServingError: the server does not start.
        export.errors.ExportError: the recognizer cannot be fitted to the models.
    """
    stage(repository, work, setting, folder / "models")
    arguments = (f"--model-config-name={work.hardware.configuration}",)
    with running_server(installation, folder / "models", folder / "server.log", extra_arguments=arguments) as server:
        yield Endpoint(server.ports.http, server.host)


def stage(repository: Path, work: Work, setting: Setting, folder: Path) -> None:
    """Writes a repository with the versions of a task alone, and the recognizer where it is asked.

    The cache of answers is off: it would be measured instead of the network. There are as
    many recognizers as detectors at least, since each waits for one.
    """
    for name, version in work.versions.items():
        (folder / name).mkdir(parents=True)
        for path in (repository / name).iterdir():
            if path.is_dir() and not path.name.isdecimal() and not path.name.startswith("."):
                shutil.copytree(path, folder / name / path.name)
            elif path.is_file() and not path.name.startswith(("promotion-", ".")):
                shutil.copy(path, folder / name / path.name)
        shutil.copytree(repository / name / str(version), folder / name / str(version))
        path = _config(folder / name, work)
        config = read_config(path.read_bytes(), str(path))
        if name == _tuned(work):
            config = retuned(config, setting)
        config.ClearField("response_cache")
        config.version_policy.latest.num_versions = 1
        path.write_text(to_text(config))
    if DETECTOR.name in work.versions:
        export_recognizer(folder)
        path = _config(folder / RECOGNIZER, work)
        config = read_config(path.read_bytes(), str(path))
        config.instance_group[0].count = max(config.instance_group[0].count, setting.instances)
        path.write_text(to_text(config))
