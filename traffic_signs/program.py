"""Start and end of our programs: signals stop them cleanly, an expected problem is one line and an exit code."""

import io
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from traffic_signs.console import visible
from traffic_signs.errors import SignsError

INTERRUPTED = 130  # shells report this code for SIGINT
RETRY_S = 0.05  # a signal that arrives during an import
# A closed terminal sends SIGHUP, which Windows does not have.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


def run_program(name: str, command: Callable[[], object], *expected: type[Exception]) -> None:
    """Runs a typer application; every expected problem is one line on standard error, after its name, and exit code 1.

    Besides SignsError, those of the types `expected` have a message for the user.
    """
    # asyncio replaces SIGINT's handler by one that cancels its tasks, but only the default one.
    signal.default_int_handler = _interrupt  # type: ignore[assignment]
    for number, handler in ((signal.SIGINT, _interrupt), *((each, _terminate) for each in ENDING)):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, handler)
    _escape_unprintable()
    try:
        command()
    except Exception as error:
        end(name, error, 1, *expected)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer ends so on Ctrl-C, without a message
            _fail(name, "stopped", INTERRUPTED)
        raise


def end(name: str, error: BaseException, code: int, *expected: type[Exception]) -> NoReturn:
    """Prints an expected problem in one line, a bug with its traceback, and exits."""
    if isinstance(error, (SignsError, *expected)):
        _fail(name, str(error), code)
    if isinstance(error, OSError):  # a file in place of a folder, a full disk, missing rights
        where = f"{error.filename}: " if error.filename else ""
        _fail(name, f"{where}{error.strerror or error}: check the path, its rights and the free space", code)
    if isinstance(error, ModuleNotFoundError):
        extras = "train,export,client,gateway,monitoring"
        _fail(name, f"{error.name} is not installed: pip install '.[{extras}]'", code)
    traceback.print_exception(error)
    sys.exit(code)


def _escape_unprintable() -> None:
    """Prints characters that the locale's encoding lacks as escapes; by default they raise an error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _fail(name: str, message: str, code: int) -> NoReturn:
    print(f"{name}: {visible(message)}", file=sys.stderr)
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Handles SIGINT as Python does by default, but after an import."""
    if not _delays(number, frame):
        raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    """Ends the program like Ctrl-C: context managers stop servers and remove temporary files."""
    if _delays(number, frame):
        return
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _delays(number: int, frame: FrameType | None) -> bool:
    """Sends a signal again a little later if it interrupts an import, and returns whether it does.

    An exception from a signal handler that ends the import of PyTorch or ONNX Runtime aborts the process without
    cleaning up, or becomes an ImportError.
    """
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    if frame is None or not hasattr(signal, "setitimer"):  # as on Windows
        return False
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, RETRY_S)
    return True
