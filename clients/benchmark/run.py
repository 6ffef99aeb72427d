"""One benchmark: start or find the server, measure in rounds, write the report."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from clients.benchmark import perf_analyzer
from clients.benchmark.config import BenchmarkConfig, reported
from clients.benchmark.environment import busy_notice, describe_machine
from clients.benchmark.figures import SCHEMA, Found, describe_limit, describe_points
from clients.benchmark.in_process import check_network, measure_in_process
from clients.benchmark.inputs import Pictures, draw_pictures, read_pictures, tensors, write_input
from clients.benchmark.interruption import heeded, undisturbed
from clients.benchmark.plan import Point, Way, in_rounds, plan_points, plan_ways
from clients.benchmark.report import prepare_folder, write_json, write_report
from clients.benchmark.statistics import ask_statistics, mean_batch, waited_inside
from clients.benchmark.target import CLASSIFIER, Model, Target, look_at
from export.hardware_fit import fitting_arguments
from export.repository.manifest import cpu_file
from serving.errors import ServingError
from serving.install import Installation, find_or_install
from serving.server import RunningServer, running_server
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.cores import usable_cores
from traffic_signs.progress import progress_bars

RAW = "perf_analyzer"  # folder of its files in the report
OVERHEAD_S = 1.5  # of each run of perf_analyzer: its start, the warm-up, the last answers
FAILURES = 3  # after so many failed points in a row the server is checked


@dataclass
class Bench:
    """A running benchmark."""

    config: BenchmarkConfig
    folder: Path
    tool: perf_analyzer.Tool
    target: Target
    pictures: Pictures
    scratch: Path
    server: RunningServer | None  # if it was started here
    points: list[Point] = field(default_factory=list)
    ways: list[Way] = field(default_factory=list)
    measure_way: Callable[[Way, float], float] = lambda way, seconds: 0.0
    found: Found = field(default_factory=Found)


def run_benchmark(
    config: BenchmarkConfig, folder: Path, console: Console, finish: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Measures all points and writes the report into `folder`; if it is stopped, a report of the results so far.

    Returns the content of report.json, to which `finish` may add before it is written.

    Raises:
        ClientError: a model, file or program is missing, or no point could be measured.
        ServingError: the server does not start, or ends by itself.
        OSError: a file cannot be written.
    """
    tool = perf_analyzer.find(config.perf_analyzer)
    prepare_folder(folder)
    if config.images is None:
        console.print("drawing street scenes ...", style="dim")
    pictures = read_pictures(config.images) if config.images else draw_pictures()
    started = datetime.now(UTC)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="signs-bench-")))
        machine = describe_machine(perf_analyzer=tool.version)  # before the server starts and uses it
        urls, server, installation = _serve(config, folder / "tritonserver.log", stack, console)
        target = look_at({protocol: urls[protocol] for protocol in config.asked_protocols}, config.models)
        bench = Bench(config, folder, tool, target, pictures, scratch, server)
        _plan(bench)
        head = _head(bench, machine, installation, started)
        _announce(console, bench, head)
        interrupted: BaseException | None = None
        try:
            with heeded() as heed, progress_bars(console) as progress:
                for done, total in _measured(bench, head):
                    progress("measuring", done, total)
                    heed()
        except (KeyboardInterrupt, SystemExit, ServingError, OSError) as error:
            interrupted = error
        report = _report(bench, head, complete=interrupted is None)
        has_results = bench.found.points or bench.found.problems or bench.found.ways
        if has_results and not isinstance(interrupted, OSError):
            with undisturbed():
                try:
                    finish(report)
                finally:  # also if the comparison fails
                    write_report(folder, report)
        if interrupted is not None:
            files = "report.json" if isinstance(interrupted, OSError) else "report.html and report.json"
            runs = f"{files} in {folder} hold the {report['runs']} of {report['planned_runs']} runs so far"
            stopped = runs if report["runs"] else "nothing was measured yet, so there is no report"
            console.print(f"stopped: {stopped}", soft_wrap=True)
            raise interrupted
    if not any("images_per_second" in each for each in report["points"]):
        problem = report["points"][0]["problem"]
        raise ClientError(f"no point could be measured; of the first one: {problem}")
    return report


def _serve(
    config: BenchmarkConfig, log: Path, stack: contextlib.ExitStack, console: Console
) -> tuple[dict[Protocol, str], RunningServer | None, Installation | None]:
    """Returns the server's addresses; of a server of its own also the server and its installation."""
    if config.urls:
        return config.urls, None, None
    installation = find_or_install(config.home, lambda what: console.print(f"{what} ...", style="dim"))
    fitting = fitting_arguments(installation, config.repository)
    server = stack.enter_context(running_server(installation, config.repository, log, extra_arguments=fitting))
    return {"grpc": server.grpc_url, "http": server.http_url}, server, installation


def _plan(bench: Bench) -> None:
    """Plans the measurements, checks all settings and writes the pictures, before anything is measured."""
    config, models = bench.config, {model.name: model for model in bench.target.models}
    largest = {name: model.largest_batch for name, model in models.items()}
    bench.points = plan_points(largest, config.asked_protocols, config.batch_sizes, config.concurrencies)
    for name, model in models.items():
        if not any(point.model == name for point in bench.points):
            raise ClientError(f"{name} takes batches of {max(1, largest[name])} at most: give smaller --batch-sizes")
        write_input(bench.scratch / f"{name}.json", model, bench.pictures)
    if config.in_process:
        classifier = models.get(CLASSIFIER)
        if classifier is None:
            raise ClientError(f"--in-process needs {CLASSIFIER}, which is not measured here: leave it out")
        onnx = config.onnx or _served_file(config.repository, classifier)
        check_network(onnx, classifier.shape)
        bench.measure_way = partial(measure_in_process, onnx, tensors(classifier, bench.pictures))
        own = {point.batch for point in bench.points if point.model == CLASSIFIER}
        # With the largest batch too: the server joins requests into such batches.
        bench.ways = plan_ways(usable_cores(), sorted({1, *own, max(1, classifier.largest_batch)}))


def _served_file(repository: Path, model: Model) -> Path:
    path = repository / model.name / model.versions[-1] / cpu_file(model.file)
    if not path.is_file():
        raise ClientError(
            f"--in-process needs the ONNX file of the served version; there is no {path}: give it by --onnx"
        )
    return path


def _head(
    bench: Bench, machine: dict[str, Any], installation: Installation | None, started: datetime
) -> dict[str, Any]:
    """Returns the part of the report that is known before the measurement."""
    target = bench.target
    notices = [busy_notice(machine)] if busy_notice(machine) else []
    if target.has_standin:
        notices.append(
            "the server's ONNX Runtime backend is the stand-in, which adds some tenths of a millisecond to a request: "
            "these are not the figures of Triton's own"
        )
    if target.uses_gpu and bench.ways:
        notices.append("the limit is that of ONNX Runtime on the CPU, and the server computes on a GPU")
    if target.in_int8:
        notices.append(f"the int8 file answers for {' and '.join(target.in_int8)}, as this CPU runs it faster")
    for model in target.models:
        if model.is_cached:
            notices.append(f"{model.name} may answer from Triton's cache: then the cache is measured, not the network")
        if model.largest_batch and max(bench.config.batch_sizes) > model.largest_batch:
            notices.append(f"{model.name} takes batches of {model.largest_batch} at most: larger ones are left out")
    return {
        "schema": SCHEMA,
        "created": started.isoformat(timespec="seconds"),
        "command": bench.config.command(),
        "arguments": reported(bench.config) | {"folder": str(bench.folder)},
        "environment": machine,
        "server": {
            "description": installation.description if installation else target.description,
            "started_here": bench.server is not None,
            "urls": dict(target.urls),
            "metadata": target.metadata,
            "models": {
                model.name: {
                    "versions": list(model.versions),
                    "largest_batch": model.largest_batch,
                    "metadata": model.metadata,
                }
                for model in target.models
            },
        },
        "pictures": bench.pictures.facts(),
        "notices": notices,
    }


def _announce(console: Console, bench: Bench, head: dict[str, Any]) -> None:
    jobs = len(bench.points) + len(bench.ways)
    config = bench.config
    minutes = jobs * config.rounds * (config.seconds + OVERHEAD_S) / 60
    served = ", ".join(f"{model.name} {'/'.join(model.versions)}" for model in bench.target.models)
    console.print(
        f"{served}: {jobs} points, {config.rounds} rounds of {config.seconds:g} s each, about {max(minutes, 1):.0f} "
        f"min, on {head['server']['description']}",
        soft_wrap=True,
    )
    for notice in head["notices"]:
        console.print(f"note: {notice}", soft_wrap=True)


def _measured(bench: Bench, head: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Measures all jobs and updates report.json after each; yields the number done and the total."""
    jobs: list[Point | Way] = [*bench.points, *bench.ways]
    raw = bench.folder / RAW
    raw.mkdir(exist_ok=True)
    total, in_a_row = len(jobs) * bench.config.rounds, 0
    for done, (number, job) in enumerate(in_rounds(jobs, bench.config.rounds), start=1):
        if isinstance(job, Way):
            rate = bench.measure_way(job, bench.config.seconds)
            bench.found.ways.setdefault(job, []).append((number, rate))
        elif job not in bench.found.problems:
            try:
                bench.found.points.setdefault(job, []).append((number, _measure(bench, job, raw, number)))
                in_a_row = 0
            except ClientError as error:
                bench.found.problems[job] = str(error)
                if not bench.found.points[job]:
                    del bench.found.points[job]
                in_a_row += 1
                _check_alive(bench, in_a_row)
        write_json(bench.folder, _report(bench, head, complete=False))
        yield done, total


def _measure(bench: Bench, point: Point, raw: Path, number: int) -> perf_analyzer.Measurement:
    name = f"{point.model}-{point.protocol}-b{point.batch}-c{point.concurrency}-r{number}"
    url = bench.target.urls[point.protocol]
    takes = {model.name: model.takes for model in bench.target.models}[point.model]
    called = bench.target.others if takes == "photographs" else ()
    seconds, pictures = bench.config.seconds, bench.scratch / f"{point.model}.json"
    arguments = perf_analyzer.command(bench.tool, point, url, pictures, f"{name}.csv", seconds)
    bench.found.commands[point] = arguments
    before = ask_statistics(point.protocol, url, [point.model, *called])
    measurement = perf_analyzer.measure(arguments, raw, name, seconds)
    after = ask_statistics(point.protocol, url, [point.model, *called])
    return replace(
        measurement,
        inside_ms=waited_inside(before, after, point.model, called),
        mean_batch=mean_batch(before[point.model], after[point.model]),
    )


def _check_alive(bench: Bench, in_a_row: int) -> None:
    """Raises ServingError if the server is gone."""
    if bench.server is not None:
        bench.server.check_alive()
    if in_a_row >= FAILURES:
        try:
            look_at(bench.target.urls, [model.name for model in bench.target.models])
        except ClientError as error:
            raise ServingError(f"the server is gone: {error}") from error


def _report(bench: Bench, head: dict[str, Any], complete: bool) -> dict[str, Any]:
    found = bench.found
    runs = sum(map(len, found.points.values())) + sum(map(len, found.ways.values()))
    return head | {
        "complete": complete,
        "runs": runs,
        "planned_runs": (len(bench.points) + len(bench.ways)) * bench.config.rounds,
        "limit": describe_limit(found.ways),
        "points": describe_points(bench.points, found),
        "comparison": None,
    }
