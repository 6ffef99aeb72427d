"""How a program of ours begins and ends: signals stop it cleanly, an expected problem is one line and an exit code."""

import io
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from traffic_signs.console import visible
from traffic_signs.errors import SignsError

INTERRUPTED = 130  # what shells call a program that ended on SIGINT


def run_program(name: str, command: Callable[[], object], *expected: type[Exception]) -> None:
    """Runs a command line; every expected problem is one line on standard error and exit code 1.

    Args:
        name: of the program, before what it prints.
        command: of typer, which ends by SystemExit.
        expected: errors whose message is for the user, besides SignsError.
    """
    signal.signal(signal.SIGTERM, _terminate)
    _let_all_be_printed()
    try:
        command()
    except Exception as error:
        end(name, error, 1, *expected)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer ends so on Ctrl-C, and says nothing
            _fail(name, "stopped", INTERRUPTED)
        raise


def end(name: str, error: BaseException, code: int, *expected: type[Exception]) -> NoReturn:
    """Prints an expected problem in one line, a fault of ours with its traceback, and exits."""
    if isinstance(error, (SignsError, *expected)):
        _fail(name, str(error), code)
    if isinstance(error, OSError):  # a file in place of a folder, a full disk, a right that is missing
        where = f"{error.filename}: " if error.filename else ""
        _fail(name, f"{where}{error.strerror or error}: check the path, its rights and the free space", code)
    if isinstance(error, ModuleNotFoundError):
        extras = "train,export,client,gateway,monitoring"
        _fail(name, f"{error.name} is not installed: pip install '.[{extras}]'", code)
    traceback.print_exception(error)
    sys.exit(code)


def _let_all_be_printed() -> None:
    """Has names of files printed that the locale's encoding lacks, with escapes, in place of an error half-way."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _fail(name: str, message: str, code: int) -> NoReturn:
    print(f"{name}: {visible(message)}", file=sys.stderr)
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Makes a polite kill end like Ctrl-C: context managers stop servers and remove half-written files."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)
