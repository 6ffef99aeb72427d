"""Starts child processes that end when their parent ends."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# The kernel sends SIGTERM (15) to this process when its parent ends (PR_SET_PDEATHSIG, 1, of linux/prctl.h), also if
# that was killed by SIGKILL. Python ignores two signals, which the program would inherit.
LAUNCHER = """\
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
libc = ctypes.CDLL(None)
if hasattr(libc, "prctl"):
    libc.prctl(1, 15)
if os.getppid() != int(parent):  # it ended before the line above
    sys.exit(1)
for each in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(each, signal.SIG_DFL)
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.exit(f"cannot run {command[0]}: {error.strerror}")
"""


def ending_with_this(command: Sequence[str]) -> list[str]:
    """Returns a command that runs `command` and ends when this process ends; on other systems than Linux it may not.

    A small Python program sets that up and becomes the other. The `preexec_fn` of subprocess could do it without, but
    then Python forks, and a process that uses gRPC can abort between fork and exec.

    The kernel watches the thread that starts the command: use one that lives as long as the child.
    """
    return [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command]


def start_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Starts a program that writes everything into a log file.

    It has its own session: Ctrl-C reaches only this process, which then stops the program and what that has started.
    Environment and folder are those of this process, if none are given.

    Raises:
        OSError: there is no such program, or the log file cannot be opened.
    """
    program = Path(folder or "", command[0]) if os.sep in command[0] else command[0]
    if not shutil.which(program, path=(environment or os.environ).get("PATH")):
        code = errno.EACCES if Path(program).is_file() else errno.ENOENT
        raise OSError(code, os.strerror(code), command[0])
    with log.open("wb") as output:
        return subprocess.Popen(
            ending_with_this(command),
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
