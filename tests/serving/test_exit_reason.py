"""Why a server ended: the code or signal first, and never a line of its log that is about something else."""

import shutil
import signal
from pathlib import Path

import pytest

from export.repository import Manifest
from serving.errors import ServingError
from serving.exit_reason import describe_code, describe_end, last_error
from serving.install import Installation
from serving.loading import load
from serving.server import RELOADABLE, running_server

E = 'E1123 04:58:18.728162 1 server.cc:241] "CudaDriverHelper has not been initialized."\n'
FAILED = "E1123 04:58:19.228162 1 model_lifecycle.cc:642] \"failed to load 'm' version 1: bad file\\n\\nAt:\\n  x\"\n"
LOADED = "I1123 04:58:20.228162 1 model_lifecycle.cc:839] \"successfully loaded 'n'\"\n"
NVML = "Error: Failed to initialize NVML\n"
END = "error: creating server: Internal - failed to load all models\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (E + FAILED + LOADED + END, "failed to load 'm' version 1: bad file"),
        (FAILED.replace("'m'", "'first'") + FAILED, "failed to load 'm' version 1: bad file"),
        (E + LOADED + NVML, ""),
        (LOADED + "terminate called after throwing 'std::invalid_argument'\n  what():  stol\n", "what():  stol"),
        ("tritonserver: error while loading shared libraries: libx.so\n", "libx.so"),
        ("| Model | Status |\n+-------+\n 0# 0x00 in /bin/x\n", ""),
    ],
)
def test_the_last_error_is_the_reason(log: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(log)
    said = last_error(tmp_path / "log")
    assert said.endswith(reason) and bool(said) == bool(reason)


def test_codes_and_signals_say_what_to_look_at() -> None:
    assert describe_code(1) == "exit code 1"
    assert "memory" in describe_code(-signal.SIGKILL) and describe_code(137) == describe_code(-signal.SIGKILL)
    assert "/dev/shm" in describe_code(-signal.SIGBUS)
    assert describe_code(-signal.SIGSEGV) == "signal SIGSEGV"
    assert describe_code(255) == "exit code 255"


def test_a_crash_without_room_in_shared_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder itself stays as large as it is: other servers of this machine use it."""
    usage = shutil.disk_usage("/dev/shm")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=8_000_000))
    assert "/dev/shm" in describe_code(-signal.SIGSEGV)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000_000))
    assert "/dev/shm" not in describe_code(-signal.SIGSEGV)


def test_a_log_that_is_empty_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert describe_end(3, tmp_path / "log") == "exit code 3: it printed nothing"
    (tmp_path / "log").write_text(LOADED)
    assert describe_end(3, tmp_path / "log") == "exit code 3: its log names no error"


@pytest.mark.end_to_end
def test_a_crash_is_not_blamed_on_a_model_that_failed_before(
    installation: Installation, repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    shutil.copytree(repository, models)
    broken = models / "broken"
    shutil.copytree(models / "sign_classifier", broken)
    (broken / "1" / "model.onnx").write_bytes(b"nothing")
    config = broken / "config.pbtxt"
    config.write_text(config.read_text().replace('"sign_classifier"', '"broken"'))
    shutil.move(broken, tmp_path / "broken")
    log = tmp_path / "log"
    with running_server(installation, models, log, extra_arguments=RELOADABLE) as server:
        shutil.move(tmp_path / "broken", broken)
        with pytest.raises(ServingError):
            load(server.http_url, "broken", 1, timeout=60)
        server.check_alive()
        assert "failed to load 'broken'" in last_error(log)
        server.process.kill()
        server.process.wait()
        with pytest.raises(ServingError, match="ended by itself with signal SIGKILL") as ended:
            server.check_alive()
        assert "failed to load" not in str(ended.value)
        assert "failed to load" not in describe_end(1, log, was_ready=True)


@pytest.mark.end_to_end
def test_a_server_that_is_killed_while_it_loads_is_reported_so(
    repository: Path, manifest: Manifest, tmp_path: Path
) -> None:
    """A script in place of the server: when the true one is in the midst of loading cannot be foreseen."""
    script = tmp_path / "tritonserver"
    script.write_text(f"#!/bin/sh\ncat <<'E'\n{LOADED}E\nkill -9 $$\n")
    script.chmod(0o755)
    with (
        pytest.raises(ServingError, match="ended at once with signal SIGKILL"),
        running_server(Installation(script, {}, [], "killed"), repository, tmp_path / "log"),
    ):
        pass
