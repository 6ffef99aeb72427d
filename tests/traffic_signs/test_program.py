"""Signals to our programs: they end cleanly, also during an import and in asyncio."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, sys, time

sys.path.insert(0, {root!r})
from traffic_signs.program import run_program

async def wait():
    try:
        print("ready", flush=True)
        time.sleep(1)
        print("nothing is raised in a task", flush=True)
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise

def command():
    try:
        {command}
    except KeyboardInterrupt:  # as typer does
        sys.exit(130)
    finally:
        print("cleaned up", flush=True)

run_program("signs", command)
"""
SLOW_MODULE = """
import time

print("ready", flush=True)
try:
    end = time.monotonic() + 1
    while time.monotonic() < end:
        time.sleep(0.01)
except BaseException as error:  # an extension module aborts here
    print("interrupted by", type(error).__name__, flush=True)
    raise
print("imported", flush=True)
"""


def stop(folder: Path, command: str, number: signal.Signals) -> tuple[int, list[str], str]:
    """Runs a command until it prints "ready" and sends a signal; returns exit code, standard output and error."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(root=str(ROOT), command=command)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background and nohup ignore some
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.splitlines(), err


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGINT, 130, "signs: stopped\n"), (signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, "")],
)
def test_a_signal_during_an_import_ends_the_program_after_it(
    tmp_path: Path, number: signal.Signals, code: int, message: str
) -> None:
    (tmp_path / "slow_module.py").write_text(SLOW_MODULE)
    command = "sys.path.insert(0, ''); import slow_module; time.sleep(60)"
    assert stop(tmp_path, command, number) == (code, ["imported", "cleaned up"], message)


def test_a_signal_outside_an_import_ends_the_program_at_once(tmp_path: Path) -> None:
    command = "print('ready', flush=True); time.sleep(60)"
    assert stop(tmp_path, command, signal.SIGINT) == (130, ["cleaned up"], "signs: stopped\n")
    assert stop(tmp_path, command, signal.SIGTERM) == (143, ["cleaned up"], "")


def test_ctrl_c_cancels_the_tasks_of_asyncio(tmp_path: Path) -> None:
    printed = ["nothing is raised in a task", "cancelled", "cleaned up"]
    assert stop(tmp_path, "asyncio.run(wait())", signal.SIGINT) == (130, printed, "signs: stopped\n")
