"""This project's Triton in the comparison: a copy of the repository with a setting to try."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def exchange_for(work: Work) -> Exchange:
    """Returns how Triton is called; a batch of more than one crop needs its shape before the bytes."""
    model = CLASSIFIER.name if work.task == "classify" else RECOGNIZER
    return exchange.triton(model, CLASSIFIER.input.name, work.shape if work.shape[:1] > (1,) else ())


def settings(repository: Path, work: Work) -> list[Setting]:
    """Returns the settings to try, the present one first, of the classifier, or for scenes of the detector."""
    cores, present = work.hardware.cores, setting_of(_read_config(repository / work.slowest, work)[1])
    if work.hardware.gpu:
        tried = [Setting(count, 0, delay, present.max_batch) for count in (1, 2, 4) for delay in (0, 200)]
    else:
        tried = [Setting(cores, 1, delay, present.max_batch) for delay in (0, 200)]
        tried.append(Setting(1, cores, 0, present.max_batch))
    return list(dict.fromkeys((present, *tried)))


def _read_config(folder: Path, work: Work) -> tuple[Path, Any]:
    """Returns the path and the content of a model's configuration for the hardware."""
    path = folder / config_path(work.hardware.configuration)
    path = path if path.is_file() else folder / CONFIG
    return path, read_config(path.read_bytes(), str(path))


@contextlib.contextmanager
def running_triton(
    installation: Installation, repository: Path, work: Work, setting: Setting, folder: Path
) -> Iterator[Endpoint]:
    """Serves the models of a task until the block ends, the slowest with a setting, out of a copy in an empty folder.

    Raises:
        serving.errors.ServingError: the server does not start.
        export.errors.ExportError: the recognizer does not fit the models.
    """
    stage(repository, work, setting, folder / "models")
    arguments = (f"--model-config-name={work.hardware.configuration}",)
    with running_server(installation, folder / "models", folder / "server.log", extra_arguments=arguments) as server:
        yield Endpoint(server.ports.http, server.host)


def stage(repository: Path, work: Work, setting: Setting, folder: Path) -> None:
    """Writes a repository with only the versions of a task, and the recognizer if it is called.

    The response cache is off: it would be measured instead of the network. Each recognizer waits for a detector, so
    there are at least as many recognizers.
    """
    for name, version in work.versions.items():
        (folder / name).mkdir(parents=True)
        for path in (repository / name).iterdir():
            if path.is_dir() and not path.name.isdecimal() and not path.name.startswith("."):
                shutil.copytree(path, folder / name / path.name)
            elif path.is_file() and not path.name.startswith(("promotion-", ".")):
                shutil.copy(path, folder / name / path.name)
        shutil.copytree(repository / name / str(version), folder / name / str(version))
        path, config = _read_config(folder / name, work)
        if name == work.slowest:
            config = retuned(config, setting)
        config.ClearField("response_cache")
        config.version_policy.latest.num_versions = 1
        path.write_text(to_text(config))
    if DETECTOR.name in work.versions:
        export_recognizer(folder, unknown_threshold=0)  # the others name every sign
        path, config = _read_config(folder / RECOGNIZER, work)
        config.instance_group[0].count = max(config.instance_group[0].count, setting.instances)
        path.write_text(to_text(config))
