"""Finds and runs perf_analyzer, Triton's load generator, and reads its files.

A measurement succeeded if it wrote its table. Its exit code does not say so: PyPI's program always returns 0, and the
original returns 99 both for a wrong model and for a server that is down.
"""

import csv
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clients.benchmark.interruption import held
from clients.benchmark.plan import Point
from serving.exit_reason import describe_code
from serving.lifetime import start_process
from serving.server import stop
from traffic_sign_client.errors import ClientError

PROGRAM = "perf_analyzer"
WINDOWS = 3  # it measures at least three and joins them
# Accept any spread of the windows: each point is measured for the same time, and the rounds show the spread.
SPREAD_PERCENT = 1_000_000
MOST_WINDOWS = 10  # if one saw no answer
START_S = 120.0  # for reading the pictures, the first and the last requests, on a busy machine
LAST_LINES = 3
HOW_TO_GET_IT = (
    "it is in NVIDIA's SDK image (nvcr.io/nvidia/tritonserver:YY.MM-py3-sdk), and `pip install perf_analyzer` has it "
    "for a Linux with glibc 2.38, such as Ubuntu 24.04 and Debian 13; put it on the PATH or give --perf-analyzer"
)

# Columns of its table; times are in microseconds.
LATENCIES = {**{each: f"{each} latency" for each in ("p50", "p90", "p95", "p99")}, "mean": "Avg latency"}
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
    """A perf_analyzer, and its version."""

    program: Path
    version: str


@dataclass(frozen=True)
class Measurement:
    """The results of one run."""

    images_per_second: float
    latency_ms: dict[str, float]  # p50, p90, p95, p99 and mean of a request
    parts_ms: dict[str, float]  # means; their sum is the mean latency
    requests: int
    table: dict[str, str]  # the row of perf_analyzer's own table
    inside_ms: dict[str, float] = field(default_factory=dict)  # mean wait of an execution for each model that it calls
    mean_batch: float = 0.0  # pictures in an execution


def find(given: Path | None = None) -> Tool:
    """Returns the perf_analyzer at a path, else on the PATH; raises ClientError if there is none that runs here."""
    found = shutil.which(str(given) if given else PROGRAM)
    if found is None:
        named = f"{given} cannot be run: give the path of {PROGRAM} with --perf-analyzer"
        raise ClientError(named if given else f"there is no {PROGRAM} on the PATH: {HOW_TO_GET_IT}")
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
    """Returns the command line that measures a point on the server at `url`, host:port, and writes `table`."""
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
    """Runs perf_analyzer once, with the arguments of `command`; it has always ended when this returns.

    The folder gets its table as `name`.csv and its output as `name`.txt.

    Raises:
        ClientError: it could not measure; the message has its last error.
    """
    printed = folder / f"{name}.txt"
    limit = START_S + 2 * seconds * MOST_WINDOWS / WINDOWS
    process: subprocess.Popen[bytes] | None = None
    try:
        with held():
            process = start_process(arguments, printed, folder=folder)
        process.wait(limit)
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"{PROGRAM} did not end within {limit:.0f} s: is the server alive?") from error
    finally:
        if process is not None:
            stop(process, 0)  # and its session: PyPI's program starts another one
    said = printed.read_text(errors="replace")
    try:
        return read_measurement((folder / f"{name}.csv").read_text(), said)
    except (OSError, ValueError) as error:
        is_slow = any(words in said for words in _TOO_SHORT) and not _REASON.search(said)
        hint = " (too few answers in that time: give more --seconds)" if is_slow else ""
        # After a signal it could not print an error.
        why = describe_code(process.returncode) if (process.returncode or 0) < 0 else last_words(said)
        raise ClientError(f"{PROGRAM} failed: {why}{hint}") from error


def read_measurement(table: str, said: str) -> Measurement:
    """Reads perf_analyzer's table, of `--verbose-csv`, and its output, which has the number of requests.

    Raises:
        ValueError: the table has no measurement, or lacks a column.
    """
    row = _only_row(table)
    requests = _REQUESTS.search(said)
    return Measurement(
        images_per_second=_number(row, RATE),
        latency_ms={name: _number(row, column) / 1000 for name, column in LATENCIES.items()},
        parts_ms={part: sum(_number(row, column) for column in columns) / 1000 for part, columns in PARTS.items()},
        requests=int(requests[1]) if requests else 0,
        table=row,
    )


def last_words(said: str) -> str:
    """Returns in one line why it failed: the errors in its output, or else its last lines."""
    # Each thread prints the same error.
    reasons = list(dict.fromkeys(reason.strip() for reason in _REASON.findall(said)))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "; ".join(reasons[:LAST_LINES] or lines[-LAST_LINES:])[:1000] or "it printed nothing"


def _only_row(table: str) -> dict[str, str]:
    rows = [row for row in csv.DictReader(table.splitlines()) if row.get(RATE)]
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows instead of one")
    return {name: value for name, value in rows[0].items() if name and value is not None}


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except KeyError as error:
        raise ValueError(f"it has no column {column!r}") from error
    if not 0 <= value < float("inf"):
        raise ValueError(f"{column} is {value}")
    return value
