"""The project's own server in the comparison: the same files in a repository of its own, with a setting to try."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from clients.benchmark.peers.models import Work
from clients.benchmark.peers.running import Endpoint
from export.config import to_text
from export.recognizer import RECOGNIZER, export_recognizer
from export.repository.policy import CONFIG, read_config
from export.tuning.plan import Setting, retuned, setting_of
from serving.install import Installation
from serving.server import running_server
from training.models.classifier import MODEL_NAME as CLASSIFIER
from training.models.detector import MODEL_NAME as DETECTOR


def model_of(work: Work) -> str:
    """Returns the model that is asked in a task."""
    return CLASSIFIER if work.task == "classify" else RECOGNIZER


def settings(repository: Path, work: Work, cores: int) -> list[Setting]:
    """Returns the settings to try, the present one first: of the classifier, or for whole scenes of the detector."""
    path = repository / _tuned(work) / CONFIG
    present = setting_of(read_config(path.read_bytes(), str(path)))
    tried = [Setting(cores, 1, delay, present.max_batch) for delay in (0, 200)]
    tried.append(Setting(1, cores, 0, present.max_batch))
    return list(dict.fromkeys((present, *tried)))


def _tuned(work: Work) -> str:
    """Returns the model that takes most of the time."""
    return CLASSIFIER if work.task == "classify" else DETECTOR


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
    with running_server(installation, folder / "models", folder / "server.log") as server:
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
        path = folder / name / CONFIG
        config = read_config(path.read_bytes(), str(path))
        if name == _tuned(work):
            config = retuned(config, setting)
        config.ClearField("response_cache")
        config.version_policy.latest.num_versions = 1
        path.write_text(to_text(config))
    if DETECTOR in work.versions:
        export_recognizer(folder)
        path = folder / RECOGNIZER / CONFIG
        config = read_config(path.read_bytes(), str(path))
        config.instance_group[0].count = max(config.instance_group[0].count, setting.instances)
        path.write_text(to_text(config))
