"""Child processes that end when their parent ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.lifetime import start_process

PATIENCE_S = 60.0
PARENT = """
import sys, time
from pathlib import Path
from serving.lifetime import start_process
print(start_process(["sleep", "3600"], Path(sys.argv[1])).pid, flush=True)
time.sleep(3600)
"""


def name_of(pid: int) -> str:
    """The name of a process that runs; empty for one that has ended."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return ""
    return "" if rest.split()[0] in "ZX" else name


def wait_until(name: str, pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while name_of(pid) != name:
        assert time.monotonic() < deadline, name_of(pid)
        time.sleep(0.01)


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        try:
            wait_until("sleep", child)  # what the launcher becomes
            parent.kill()
            wait_until("", child)
        finally:
            parent.kill()
            if name_of(child):
                os.kill(child, signal.SIGKILL)


def test_a_program_gets_its_environment_folder_and_session_and_the_usual_signals(tmp_path: Path) -> None:
    log = tmp_path / "log"
    show = ["sh", "-c", 'echo "$KEY" "$PWD" "$(ps -o sid= -p $$)"; exec grep SigIgn /proc/self/status']
    process = start_process(show, log, {"KEY": "value", "PATH": "/usr/bin:/bin"}, tmp_path)
    assert process.wait(PATIENCE_S) == 0
    first, ignored = log.read_text().splitlines()
    assert first.split() == ["value", str(tmp_path), str(process.pid)]
    # Python ignores both; what this process has inherited as ignored, such as by nohup, stays so.
    assert not int(ignored.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_what_cannot_be_started_is_refused(tmp_path: Path) -> None:
    log, unfit = tmp_path / "log", tmp_path / "unfit"
    unfit.write_text("\x7fELF and no more")
    with pytest.raises(FileNotFoundError):
        start_process([str(tmp_path / "absent")], log)
    with pytest.raises(PermissionError):
        start_process([str(unfit)], log)
    unfit.chmod(0o755)
    assert start_process([str(unfit)], log).wait(PATIENCE_S) == 1
    assert f"cannot run {unfit}" in log.read_text()
