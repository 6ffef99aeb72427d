"""perf_analyzer, Triton's load generator: where it is, how it is run, and what its files say.

Its exit code says little: the program that PyPI installs ends with 0 whatever happened, and the true one with 99 for a
wrong model as for a server that is down. A measurement worked when its table was written.
"""

import contextlib
import csv
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.benchmark.interruption import held
from clients.benchmark.plan import Point
from serving.exit_reason import describe_code
from serving.lifetime import die_with_parent
from traffic_sign_client.errors import ClientError

PROGRAM = "perf_analyzer"
WINDOWS = 3  # that it measures at the least, and joins
# The largest of these may be so many percent above the smallest. Which is to say: it takes what it has seen in them
# and does not run until they agree. Rounds show the spread, and each point is measured for the same time.
SPREAD_PERCENT = 1_000_000
MOST_WINDOWS = 10  # as many only where one saw no answer
START_S = 120.0  # for reading the pictures, the first requests and the last, on a busy machine
LAST_LINES = 3
HOW_TO_GET_IT = (
    "it is in NVIDIA's SDK image (nvcr.io/nvidia/tritonserver:YY.MM-py3-sdk), and `pip install perf_analyzer` has it "
    "for a Linux with glibc 2.38, such as Ubuntu 24.04 and Debian 13; then put it on the PATH or give --perf-analyzer"
)

# Columns of its table: latencies and parts are in microseconds.
LATENCIES = {"p50": "p50 latency", "p90": "p90 latency", "p95": "p95 latency", "p99": "p99 latency"}
MEAN = "Avg latency"
RATE = "Inferences/Second"
PARTS: Mapping[str, tuple[str, ...]] = {
    "client": ("Client Send", "Client Recv"),
    "network": ("Network+Server Send/Recv",),
    "queue": ("Server Queue",),
    "input": ("Server Compute Input",),
    "inference": ("Server Compute Infer",),
    "output": ("Server Compute Output",),
}
_REQUESTS = re.compile(r"^ *Request count: (\d+)$", re.MULTILINE)
_REASON = re.compile(r"(?:had error|^error): *(.+)$", re.MULTILINE | re.IGNORECASE)
_TOO_SHORT = ("stable measurement", "No valid requests")


@dataclass(frozen=True)
class Tool:
    """A perf_analyzer that can be run: the program, and the version it names."""

    program: Path
    version: str


@dataclass(frozen=True)
class Measurement:
    """What one run of perf_analyzer saw.

    Attributes:
        images_per_second: pictures answered.
        latency_ms: milliseconds from request to answer: p50, p90, p95, p99 and the mean.
        parts_ms: where these went, on average; the sum is the mean.
        requests: answered while it was measured.
        table: the row of perf_analyzer's own table, as it stands there.
        inside_ms: of a model that calls others, milliseconds of one execution that it waited for each of them.
        mean_batch: pictures that the server computed at once, on average.
    """

    images_per_second: float
    latency_ms: dict[str, float]
    parts_ms: dict[str, float]
    requests: int
    table: dict[str, str]
    inside_ms: dict[str, float] = field(default_factory=dict)
    mean_batch: float = 0.0


def find(given: Path | None = None) -> Tool:
    """Returns the perf_analyzer at a path, or the one on the PATH.

    Raises:
        ClientError: there is none, or it does not run here; the message says how to get one.
    """
    found = shutil.which(str(given) if given else PROGRAM)
    if found is None and given:
        raise ClientError(f"{given} is no program that can be run: give the path of {PROGRAM} with --perf-analyzer")
    if found is None:
        raise ClientError(f"there is no {PROGRAM} on the PATH: {HOW_TO_GET_IT}")
    program = Path(found).resolve() if "/" in found else Path(found)
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=START_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClientError(f"{program} does not run ({error}): {HOW_TO_GET_IT}") from error
    said = answer.stdout + answer.stderr
    version = re.search(r"Version (\S+)(?: \(commit (\w+)\))?", said)
    if not version:
        raise ClientError(f"{program} does not run ({last_words(said)}): {HOW_TO_GET_IT}")
    number, commit = version.groups()
    return Tool(program, f"{number} (commit {commit})" if commit else str(number))


def command(tool: Tool, point: Point, url: str, pictures: Path, table: str, seconds: float) -> list[str]:
    """Returns the command line that measures a point.

    Args:
        tool: the program.
        point: to measure.
        url: host:port of the server, for the protocol of the point.
        pictures: file of input data.
        table: name of the file that it writes, in its working folder.
        seconds: to measure for.
    """
    return [
        str(tool.program),
        *("-m", point.model, "-i", point.protocol, "-u", url, "-b", str(point.batch)),
        *("--concurrency-range", str(point.concurrency), "--input-data", str(pictures)),
        *("--measurement-interval", str(max(1, round(1000 * seconds / WINDOWS)))),
        *("--stability-percentage", str(SPREAD_PERCENT), "--max-trials", str(MOST_WINDOWS)),
        *("--warmup-request-count", str(2 * point.concurrency)),
        *("--verbose-csv", "-f", table),
    ]


def measure(arguments: Sequence[str], folder: Path, name: str, seconds: float) -> Measurement:
    """Runs perf_analyzer once; it has ended when this returns, however it does.

    Args:
        arguments: as `command` returns them for the table `name`.csv.
        folder: that it works in; takes its table `name`.csv and what it prints as `name`.txt.
        name: of its files.
        seconds: that it measures for.

    Raises:
        ClientError: it could not measure; the message has its own last words.
    """
    printed = folder / f"{name}.txt"
    limit = START_S + 2 * seconds * MOST_WINDOWS / WINDOWS
    process: subprocess.Popen[bytes] | None = None
    try:
        with printed.open("wb") as output, held():
            process = subprocess.Popen(
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Its own session: the program of PyPI starts another one, and both have to end together.
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        process.wait(limit)
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"{PROGRAM} did not end within {limit:.0f} s: is the server alive?") from error
    finally:
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    said = printed.read_text(errors="replace")
    try:
        return read_measurement((folder / f"{name}.csv").read_text(), said)
    except (OSError, ValueError) as error:
        is_slow = any(words in said for words in _TOO_SHORT) and not _REASON.search(said)
        hint = " (too few requests are answered in that time: give more --seconds)" if is_slow else ""
        # Its exit codes say little, but a signal says that it could not print why.
        why = describe_code(process.returncode) if (process.returncode or 0) < 0 else last_words(said)
        raise ClientError(f"{PROGRAM} failed: {why}{hint}") from error


def read_measurement(table: str, said: str) -> Measurement:
    """Reads what perf_analyzer wrote with `--verbose-csv`.

    Args:
        table: content of the file of `-f`.
        said: what it printed, where the number of requests is.

    Raises:
        ValueError: the table holds no measurement, or lacks a column.
    """
    row = _only_row(table)
    requests = _REQUESTS.search(said)
    return Measurement(
        images_per_second=_number(row, RATE),
        latency_ms={name: _number(row, column) / 1000 for name, column in {**LATENCIES, "mean": MEAN}.items()},
        parts_ms={part: sum(_number(row, column) for column in columns) / 1000 for part, columns in PARTS.items()},
        requests=int(requests[1]) if requests else 0,
        table=row,
    )


def last_words(said: str) -> str:
    """Returns in one line why a program failed: the errors that it names, or else the last lines that it printed."""
    # Each of its threads says the same.
    reasons = list(dict.fromkeys(reason.strip() for reason in _REASON.findall(said)))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(reasons[:LAST_LINES] or lines[-LAST_LINES:])[:1000] or "it printed nothing"


def _only_row(table: str) -> dict[str, str]:
    rows = [row for row in csv.DictReader(table.splitlines()) if row.get(RATE)]
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows in place of one")
    return {name: value for name, value in rows[0].items() if name and value is not None}


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except KeyError as error:
        raise ValueError(f"it has no column {column!r}") from error
    if not 0 <= value < float("inf"):
        raise ValueError(f"{column} is {value}")
    return value
