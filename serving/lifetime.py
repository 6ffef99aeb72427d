"""Ends a child process when its parent ends."""

import ctypes
import os
import signal
from collections.abc import Callable

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
