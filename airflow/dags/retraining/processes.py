"""Runs a command as a local process: logs its standard error and parses its standard output as JSON."""

import contextlib
import ctypes
import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from retraining.errors import StepError

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
WRONG_CALL = 2  # exit code of click for invalid options; a repetition would fail, too
GRACE_S = 40.0  # a tritonserver that the command has started gets 30 s for its requests


def run(command: Sequence[str], home: str, answers: Collection[int] = (0,)) -> Any:
    """Runs a command in the folder `home` to its end; returns its parsed standard output, None if it is not JSON.

    `answers` are the exit codes with an answer. Raises StepError if the command cannot be started, or ends with another
    code; the message is its last line.
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
                start_new_session=True,  # so that its children can be ended, too
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
    answer = None
    with contextlib.suppress(ValueError):
        answer = json.loads(printed)
    if code not in answers or (code and answer is None):  # a verdict has an answer, a failure has none
        why = last.removeprefix("signs: ").removeprefix("Error: ") or f"{command[0]} ended with code {code}"
        if code < 0:  # killed: its last line is about something else
            why = f"{command[0]} was ended by {_signal(-code)}"
        raise StepError(why, final=code == WRONG_CALL)
    return answer


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment for a command, without Airflow's variables, which contain keys and passwords.

    It makes usage errors a single line, because the failure message is the last line.
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


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends a command that is still running, after a timeout or a stop."""
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
    """Returns a `preexec_fn` that has the kernel end the child with its parent, so that no step runs twice at once."""
    libc = ctypes.CDLL(None, use_errno=True)

    def arm() -> None:
        if hasattr(libc, "prctl"):
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arm
