"""`signs bench`: the command line of the benchmark."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

MOST_BATCH, MOST_CLIENTS = 4096, 4096


def bench(
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="grpc://HOST:PORT or http://HOST:PORT of a running server; give both to measure both.",
            show_default="a server of its own",
        ),
    ] = None,
    repository: Annotated[
        Path, typer.Option("--repository", "-r", help="Model repository for a server of its own.")
    ] = Path("model_repository"),
    models: Annotated[
        str, typer.Option(help="Names with commas.", show_default="sign_classifier and sign_recognizer, where they are")
    ] = "",
    protocols: Annotated[
        str, typer.Option(help="grpc, http or both with a comma.", show_default="both, or those of --url")
    ] = "",
    batch_sizes: Annotated[str, typer.Option(help="Pictures in a request.")] = "1,8",
    concurrencies: Annotated[str, typer.Option(help="Requests under way at any time, which is clients.")] = "1,4,16",
    seconds: Annotated[float, typer.Option(min=0.3, max=600, help="To measure each point for, a round.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Each measures all points in a new order.")] = 3,
    images: Annotated[
        Path | None, typer.Option(help="Folder, zip or file of pictures to send.", show_default="drawn street scenes")
    ] = None,
    limit: Annotated[
        bool, typer.Option("--limit", help="Also run the classifier in ONNX Runtime in process with all cores.")
    ] = False,
    onnx: Annotated[
        Path | None, typer.Option(help="With --limit: its file.", show_default="the served one in --repository")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="report.json of an earlier run, or its folder.", show_default=False)
    ] = None,
    max_slowdown: Annotated[
        float | None,
        typer.Option(min=1, help="With --compare: exit with 1 where a point does so many times fewer images a second."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Measure nothing: compare this report.json.", show_default=False)
    ] = None,
    perf_analyzer: Annotated[
        Path | None, typer.Option(help="Path of perf_analyzer.", show_default="the one on the PATH")
    ] = None,
    home: Annotated[Path, typer.Option(help="Where tritonserver is, or is to be installed.")] = Path(".tritonserver"),
    output: Annotated[Path | None, typer.Option(help="Folder of the report.", show_default="runs/bench-TIME")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json.")] = False,
) -> None:
    """Measure how fast a server answers: throughput, latency and where the time goes, in one report.

    Every combination of model, protocol, batch size and number of clients is a point. perf_analyzer measures each one
    for some seconds, in rounds of a new random order each; the report has the medians and the spans over the rounds.
    It is part of Triton's SDK image and on PyPI.

    Exit code 0: all measured. 1: a problem, a point that failed, or one slower than --max-slowdown allows; the report
    has the others. 2: wrong usage. 130: stopped, with a report of what was measured until then.

    \b
    signs bench                                       the shipped models, on a server of its own
    signs bench --url grpc://localhost:8001 --url http://localhost:8000
    signs bench --images FullIJCNN2013.zip --limit --batch-sizes 1,8,32 --concurrencies 1,8,32,64
    signs bench --compare runs/old --max-slowdown 1.2     for scripts: 1 where it became slower
    signs bench --report runs/new --compare runs/old      two runs that are there already
    """
    import json

    from clients.benchmark.comparison import compare as compared
    from clients.benchmark.comparison import load_report, slower
    from clients.benchmark.run import Request, run_benchmark
    from clients.benchmark.table import print_comparison, print_points
    from traffic_sign_client.errors import ClientError
    from traffic_signs.console import Console

    if max_slowdown is not None and compare is None:
        raise typer.BadParameter("it needs an earlier run: give --compare too", param_hint="--max-slowdown")
    if report is not None and (compare is None or url or output):
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
        urls = _urls(url or [])
        request = Request(
            urls,
            repository,
            home,
            _words(models),
            _protocols(protocols, urls),
            _numbers("--batch-sizes", batch_sizes, MOST_BATCH),
            _numbers("--concurrencies", concurrencies, MOST_CLIENTS),
            seconds,
            rounds,
            images,
            limit,
            onnx,
            perf_analyzer,
            output or Path(f"runs/bench-{datetime.now(UTC):%Y%m%d-%H%M%S}"),
        )
        if onnx is not None and not limit:
            raise typer.BadParameter("it is the file that --limit runs: give --limit too", param_hint="--onnx")
        summary = run_benchmark(request, console, finish)
        print_points(console, summary)
        console.print(f"look: {request.folder}/report.html", highlight=False, soft_wrap=True)
    if summary["comparison"]:
        print_comparison(console, summary["comparison"])
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    failed = [each for each in summary["points"] if each["problem"]]
    if failed and report is None:
        raise ClientError(f"{len(failed)} of {len(summary['points'])} points could not be measured; the report has why")
    if max_slowdown is not None and (slow := slower(summary["comparison"], max_slowdown)):
        named = "; ".join("{model}, {protocol}, batch {batch}, {concurrency} at a time".format(**each) for each in slow)
        raise ClientError(f"more than {max_slowdown:g} times slower than {compare}: {named}")


def _urls(given: list[str]) -> dict[Any, str]:
    from clients.benchmark.target import read_urls

    try:
        return dict(read_urls(given))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error


def _protocols(text: str, urls: dict[Any, str]) -> list[Any]:
    wanted = _words(text) or list(urls) or ["grpc", "http"]
    for each in wanted:
        if each not in ("grpc", "http"):
            raise typer.BadParameter(f"{each!r}: choose grpc or http", param_hint="--protocols")
        if urls and each not in urls:
            raise typer.BadParameter(f"there is no address for {each}: give --url {each}://HOST:PORT too")
    return wanted


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _numbers(option: str, text: str, most: int) -> list[int]:
    numbers = set()
    for word in text.split(","):
        number = word.strip()
        if not (number.isascii() and number.isdecimal() and 1 <= int(number) <= most):
            raise typer.BadParameter(
                f"{number!r}: give whole numbers from 1 to {most} with commas between them", param_hint=option
            )
        numbers.add(int(number))
    return sorted(numbers)
