"""Why a process ended: its signal or exit code first, then the last error that it printed."""

import re
import shutil
import signal
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_MEMORY = 64_000_000  # bytes free; with less the Python models of a server may not even start
HINTS = {
    signal.SIGKILL: "the kernel sends it when memory runs out: see dmesg, and give the machine or the container more",
    signal.SIGBUS: "is /dev/shm full? Python models pass their tensors through it: give docker run --shm-size=256m",
    signal.SIGILL: "this build needs a newer processor",
}
# Triton prints these on every machine without a GPU.
HARMLESS = re.compile(r"CudaDriverHelper|Failed to initialize NVML")
# Summaries of errors that stand above them and name no cause.
SUMMARIES = re.compile(r"creating server: |failed to load all models|Signal \(\d+\) received")
GLOG = re.compile(r"(?P<severity>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ [\w.+-]+:\d+\] ")
NOISE = re.compile(r"[|+]|=+$| *\d+# |Try .*--help")  # tables, rules, backtraces, and where to read on


def describe_code(code: int) -> str:
    """Returns what an exit code means: "exit code 1", or a signal with what most often sends it.

    Args:
        code: as subprocess gives it; a signal is negative, or 128 above where a shell was between.
    """
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number)
    except ValueError:
        return f"exit code {code}"
    hint = HINTS.get(name, "")
    # Without room for its region a Python model ends the server by either of the two.
    if name == signal.SIGSEGV and shutil.disk_usage(SHARED_MEMORY).free < LEAST_SHARED_MEMORY:
        hint = HINTS[signal.SIGBUS]
    return f"signal {name.name} ({hint})" if hint else f"signal {name.name}"


def describe_end(code: int, log: Path, was_ready: bool = False) -> str:
    """Returns how a tritonserver ended, in one line: the code or signal, and the error in its log that fits.

    Args:
        code: of its end, as subprocess gives it.
        log: file with what it printed.
        was_ready: it answered before; a model that failed to load since then did not end it.
    """
    what = describe_code(code)
    if what.startswith("signal") and "ABRT" not in what:
        return what  # it had no time to say why: what it printed before is about something else
    said = last_error(log, was_ready) or ("its log names no error" if log.stat().st_size else "it printed nothing")
    return f"{what}: {said}"


def last_error(log: Path, was_ready: bool = False) -> str:
    """Returns the last error in a tritonserver log; empty where it holds none.

    Args:
        log: file with what the server printed.
        was_ready: pass over models that failed to load.
    """
    logged, printed = "", ""
    for line in log.read_text(errors="replace").splitlines():
        if HARMLESS.search(line) or SUMMARIES.search(line) or not line.strip():
            continue
        head = GLOG.match(line)
        if head and head["severity"] in "EF" and not (was_ready and "failed to load '" in line):
            logged = line[head.end() :].strip('"').partition("\\n")[0]
        elif not head and not NOISE.match(line):
            printed = line.strip()  # of the loader, of the C++ runtime, of a script around the server
    return logged or printed
