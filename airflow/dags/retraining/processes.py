"""Runs a command as a process of its own, beside Airflow's: its errors go to the log, its answer is JSON."""

import contextlib
import ctypes
import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from retraining.facts import StepError

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
WRONG_CALL = 2  # what click ends with where an option makes no sense: it will make none the next time
GRACE_S = 40.0  # a tritonserver that a command has started gets 30 s for its requests


def run(command: Sequence[str], home: str, answers: frozenset[int] = frozenset({0})) -> tuple[int, Any]:
    """Runs a command to its end.

    Args:
        command: to run.
        home: folder that it works in.
        answers: exit codes with an answer on standard output.

    Returns:
        The exit code, and what was printed, read as JSON; None where it is none.

    Raises:
        StepError: it cannot be started, or ends with another code; its last words are in the message.
    """
    log.info("in %s: %s", home, shlex.join(command))
    with tempfile.TemporaryFile("w+") as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=home,
                env=environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # what it starts ends with it
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as error:
            raise StepError(
                f"{command[0]} cannot be started in {home} ({error}): check SIGNS_COMMAND and SIGNS_HOME", True
            ) from error
        assert process.stderr is not None
        last = ""
        try:
            for line in process.stderr:
                if line.strip():
                    last = line.rstrip()
                    log.info("%s", last)
            code = process.wait()
        finally:
            _end(process)
            process.stderr.close()
        output.seek(0)
        printed = output.read()
    log.info("exit code %d", code)
    answer = _parse(printed)
    if code not in answers or (code and answer is None):  # a verdict comes with its reasons, a failure alone
        why = last.removeprefix("signs: ").removeprefix("Error: ") or f"{command[0]} ended with code {code}"
        if code < 0:  # it had no time to say why: its last line is about something else
            why = f"{command[0]} was ended by {_signal(-code)}"
        raise StepError(why, final=code == WRONG_CALL)
    return code, answer


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Returns what a command gets of an environment: nothing of Airflow's, whose settings hold keys and passwords.

    Usage errors come as one line and not in a box, since the last line is what a failure tells.
    """
    kept = {name: value for name, value in own.items() if not name.startswith(("AIRFLOW", "_AIRFLOW", "VIRTUAL_ENV"))}
    return kept | {"TYPER_USE_RICH": "0"}


def _signal(number: int) -> str:
    name = signal.Signals(number).name if number in {*signal.Signals} else f"signal {number}"
    hints = {
        "SIGKILL": ": the machine or the container may be out of memory, see dmesg",
        "SIGBUS": ": /dev/shm or the disk may be full",
    }
    return name + hints.get(name, "")


def _parse(printed: str) -> Any:
    try:
        return json.loads(printed)
    except ValueError:
        return None


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends a command that runs still: the step ran out of time, or somebody stopped it."""
    if process.poll() is not None:
        return
    try:
        process.terminate()
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _die_with(parent: int) -> Callable[[], None]:
    """Returns what a child runs so that it ends with its parent, also where that is killed: no two may work at once."""
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        if hasattr(libc, "prctl"):
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arm
