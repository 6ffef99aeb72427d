"""Runs the command line in the process of the tests: a process for each call would import PyTorch each time."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from clients.command.main import main

ROOT = Path(__file__).parents[1]


def signs_here(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Runs `signs ARGUMENTS` as a process would run it, and undoes what it does to this one.

    Args:
        arguments: of the command line.
        cwd: folder to run it in; None is the root of the project.
    """
    command = ["signs", *map(str, arguments)]
    printed = [io.BytesIO(), io.BytesIO()]
    # As in a process they are of UTF-8; once they are gone they close what they have printed to.
    out, err = (io.TextIOWrapper(each, "utf-8", write_through=True) for each in printed)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    code = 0
    try:
        with (
            patch.dict(os.environ),
            patch.object(sys, "argv", command),
            contextlib.chdir(cwd or ROOT),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(command, code, *(each.getvalue().decode() for each in printed))
