"""Explains why a process ended: its signal or exit code, and the last error in its log."""

import re
import shutil
import signal
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
LEAST_SHARED_MEMORY = 64_000_000  # free bytes; with less the Python models may fail to start
HINTS = {
    signal.SIGKILL: "the kernel sends it when memory runs out: see dmesg, and give the machine or the container more",
    signal.SIGBUS: "is /dev/shm full? Python models pass their tensors through it: give docker run --shm-size=256m",
    signal.SIGILL: "this build needs a newer processor",
}
# Triton prints these on every machine without a GPU.
HARMLESS = re.compile(r"CudaDriverHelper|Failed to initialize NVML")
# Summary lines; the cause is in the lines before them.
SUMMARIES = re.compile(r"creating server: |failed to load all models|Signal \(\d+\) received")
GLOG = re.compile(r"(?P<severity>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ [\w.+-]+:\d+\] ")
NOISE = re.compile(r"[|+]|=+$| *\d+# |Try .*--help")  # tables, rules, backtraces, and where to read on


def describe_code(code: int) -> str:
    """Describes subprocess's exit code: "exit code 1", or the signal with its most frequent cause.

    A signal is negative, or 128 + its number if a shell started the process.
    """
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number)
    except ValueError:
        return f"exit code {code}"
    hint = HINTS.get(name, "")
    # Without space for shared memory a Python model crashes the server with SIGBUS or SIGSEGV.
    if name == signal.SIGSEGV and shutil.disk_usage(SHARED_MEMORY).free < LEAST_SHARED_MEMORY:
        hint = HINTS[signal.SIGBUS]
    return f"signal {name.name} ({hint})" if hint else f"signal {name.name}"


def describe_end(code: int, log: Path, was_ready: bool = False) -> str:
    """Describes in one line how a tritonserver ended: the code or signal, and the matching error in its log.

    If it was ready before, a model that failed to load is not the cause.
    """
    what = describe_code(code)
    if what.startswith("signal") and "ABRT" not in what:
        return what  # killed at once: its log ends with something unrelated
    said = last_error(log, was_ready) or ("its log names no error" if log.stat().st_size else "it printed nothing")
    return f"{what}: {said}"


def last_error(log: Path, was_ready: bool = False) -> str:
    """Returns the last error in a tritonserver log, or nothing; after it was ready, failed loads do not count."""
    logged, printed = "", ""
    for line in log.read_text(errors="replace").splitlines():
        if HARMLESS.search(line) or SUMMARIES.search(line) or not line.strip():
            continue
        head = GLOG.match(line)
        if head and head["severity"] in "EF" and not (was_ready and "failed to load '" in line):
            logged = line[head.end() :].strip('"').partition("\\n")[0]
        elif not head and not NOISE.match(line):
            printed = line.strip()  # from the loader, the C++ runtime or a wrapper script
    return logged or printed
