"""`signs bench`: the command line of the benchmark."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.benchmark.config import BenchmarkConfig
from clients.command.output import print_json
from traffic_signs.options import with_options
from traffic_signs.settings import OUTPUT, Json, Setting


@with_options
def bench(
    config: BenchmarkConfig,
    compare: Annotated[Path | None, Setting("report.json of an earlier run, or its folder.")] = None,
    max_slowdown: Annotated[
        float | None,
        Setting("With --compare: fail if a point answers this many times fewer images a second.", min=1),
    ] = None,
    report: Annotated[Path | None, Setting("Measure nothing: compare this report.json.")] = None,
    output: Annotated[Path | None, replace(OUTPUT, show_default="runs/bench-TIME")] = None,
    as_json: Json = False,
) -> None:
    """Measure how fast a server answers: throughput, latency and where the time goes, in one report.

    Every combination of model, protocol, batch size and number of clients is a point. Triton's perf_analyzer (on PyPI
    and in Triton's SDK image) measures each point for some seconds, in rounds of a new random order; the report shows
    the median and the range over the rounds.

    Exit codes: 0 all points are measured; 1 a problem, a failed point, or one slower than --max-slowdown allows, while
    the report has the other points; 2 wrong usage; 130 stopped, and the report has the points until then.

    Examples:
        signs bench                                     # on a server of its own
        signs bench --url localhost:8001 --url http://localhost:8000
        signs bench --images photographs --in-process --batch-sizes 1,8,32
        signs bench --compare runs/old --max-slowdown 1.2
        signs bench --report runs/new --compare runs/old  # two existing runs
    """
    from clients.benchmark.comparison import compare as compared
    from clients.benchmark.comparison import load_report, slower
    from clients.benchmark.plan import Point
    from clients.benchmark.run import run_benchmark
    from clients.benchmark.table import print_comparison, print_points
    from traffic_sign_client.errors import ClientError
    from traffic_signs.console import Console

    if max_slowdown is not None and compare is None:
        raise typer.BadParameter("it needs an earlier run: give --compare too", param_hint="--max-slowdown")
    if report is not None and (compare is None or config.url or output):
        raise typer.BadParameter(
            "it is compared and nothing is measured: give --compare, and neither --url nor --output",
            param_hint="--report",
        )
    console = Console(stderr=as_json)
    old = load_report(compare) if compare else None  # first: a wrong path must not show after minutes

    def finish(summary: dict[str, Any]) -> None:
        if old is not None:
            summary["comparison"] = compared(old, summary, str(compare))

    if report is not None:
        summary = load_report(report)
        finish(summary)
    else:
        folder = output or Path(f"runs/bench-{datetime.now(UTC):%Y%m%d-%H%M%S}")
        summary = run_benchmark(config, folder, console, finish)
        print_points(console, summary)
        console.print(f"look: {folder}/report.html", soft_wrap=True)
    if summary["comparison"]:
        print_comparison(console, summary["comparison"])
    if as_json:
        print_json(summary, indent=2)
    failed = [each for each in summary["points"] if each["problem"]]
    if failed and report is None:
        raise ClientError(f"{len(failed)} of {len(summary['points'])} points could not be measured; the report has why")
    if max_slowdown is not None and (slow := slower(summary["comparison"], max_slowdown)):
        named = "; ".join(str(Point.read(each)) for each in slow)
        raise ClientError(f"more than {max_slowdown:g} times slower than {compare}: {named}")
