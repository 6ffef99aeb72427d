"""Starts child processes that end when their parent ends."""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> Callable[[], None]:
    """Returns a `preexec_fn` for subprocess that has the kernel send SIGTERM to the child when its parent ends.

    It works also if the parent is killed by SIGKILL. On other systems than Linux it does nothing. The kernel watches
    the thread that started the child: start it from a thread that lives as long as the child.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        if hasattr(libc, "prctl"):
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arm


def start_process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Starts a program that writes everything into a log file.

    It has its own session: Ctrl-C reaches only this process, which then stops the program and what that has started.
    Environment and folder are those of this process, if none are given.

    Raises:
        OSError: the program or the log file cannot be opened.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )
