"""Ties the life of a child process to its parent's."""

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> Callable[[], None]:
    """Returns what subprocess is to run in a child so that it gets SIGTERM when its parent ends.

    That holds also for a parent that is killed with -9 and can clean up nothing. Linux only; elsewhere it does
    nothing. The kernel watches the thread that started the child: start it from one that lives long enough.

    Args:
        parent: process id of the parent.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        if hasattr(libc, "prctl"):
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arm
