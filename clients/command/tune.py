"""`signs export tune`: the command line of tuning."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from traffic_sign_client.errors import ClientError

MOST_BATCH = 4096  # of an exported graph


def tune(
    model: Annotated[str, typer.Argument(help="Name of a model, such as sign_classifier.", show_default=False)],
    version: Annotated[
        int | None, typer.Argument(min=1, help="Number of a version.", show_default="the one that is served")
    ] = None,
    latency_budget_ms: Annotated[
        float, typer.Option(help="99 of 100 requests must be answered in this time.", show_default=False)
    ] = 0,
    repository: Annotated[
        str, typer.Option("--repository", "-r", help="Folder, or s3://, gs:// or az:// address.")
    ] = "model_repository",
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Requests under way at any time.")] = 32,
    instances: Annotated[
        str,
        typer.Option(help="Copies of the model to try.", show_default="1, 2 and as many as cores; on a GPU 1, 2 and 4"),
    ] = "",
    threads: Annotated[
        str,
        typer.Option(
            help="Threads of each instance to try; 0: all.", show_default="1 and as many as cores; on a GPU 0"
        ),
    ] = "",
    queue_delay_us: Annotated[str, typer.Option(help="Microseconds to wait for a batch to fill, to try.")] = "0,200",
    max_batch: Annotated[
        str,
        typer.Option(
            help="Largest batches to try; on a GPU each gets a file with that fixed batch.",
            show_default="an eighth, half and all of the present one",
        ),
    ] = "",
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="To measure each setting for, a round.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Each measures all settings in a new order.")] = 3,
    channels: Annotated[
        int, typer.Option(min=1, max=64, help="gRPC connections that the requests are spread over.")
    ] = 1,
    grpc_threads: Annotated[
        int,
        typer.Option(
            min=0, max=128, help="Threads of the server that take requests; 0: as many as it takes by itself."
        ),
    ] = 0,
    configuration: Annotated[
        str, typer.Option(help="configs/NAME.pbtxt that is tuned, as gpu.", show_default="what fits this machine")
    ] = "",
    home: Annotated[Path, typer.Option(help="Where tritonserver is, or is to be installed.")] = Path(".tritonserver"),
    output: Annotated[
        Path | None, typer.Option(help="Folder for tuning.json and tuning.png.", show_default="runs/tune-MODEL-TIME")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, and publish nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Publish without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print tuning.json.")] = False,
) -> None:
    """Find how a model is best served on this machine: most images a second within a latency budget.

    Every combination of instances, threads, queue delay and largest batch runs on a real tritonserver and is loaded
    with drawn pictures, in rounds of a new random order each. The best whose p99 is within the budget is published as
    the next version: the same weights with another config.pbtxt. Later exports keep its settings. Where no combination
    is within the budget, the code is 1 and nothing changes.

    \b
    signs export tune sign_classifier --latency-budget-ms 20
    signs export tune sign_classifier 3 --latency-budget-ms 20 --instances 1,2,4 --threads 1,2 --dry-run
    signs export tune sign_detector --latency-budget-ms 2000 --concurrency 4 --max-batch 1,2,4 --yes
    signs export tune sign_classifier --latency-budget-ms 20 --concurrency 128 --channels 8 --grpc-threads 8
    """
    import json
    import sys

    from export.tuning.load import Load
    from export.tuning.run import Request, run_tuning
    from traffic_signs.console import Console

    if not latency_budget_ms > 0:  # nor what is no number
        raise typer.BadParameter("give the milliseconds for 99 of 100 requests", param_hint="--latency-budget-ms")
    request = Request(
        model,
        version,
        repository,
        latency_budget_ms,
        _numbers("--instances", instances, 1, 64) if instances else [],
        _numbers("--threads", threads, 0, 1024) if threads else [],
        _numbers("--queue-delay-us", queue_delay_us, 0, 10_000_000),
        _numbers("--max-batch", max_batch, 1, MOST_BATCH) if max_batch else [],
        Load(concurrency, seconds, rounds, channels, grpc_threads),
        output or Path(f"runs/tune-{model}-{datetime.now(UTC):%Y%m%d-%H%M%S}"),
        home,
        configuration,
        lambda: not dry_run and (yes or typer.confirm("publish it as the next version?", err=True)),
    )
    if not (yes or dry_run or sys.stdin.isatty()):
        raise ClientError("there is nobody to ask before the best is published: give --yes or --dry-run")
    console = Console(stderr=True)
    summary = run_tuning(request, console)
    console.print(f"look: {request.folder}/tuning.png and tuning.json", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))


def _numbers(option: str, text: str, least: int, most: int) -> list[int]:
    from export.tuning.plan import parse_numbers

    try:
        return parse_numbers(text, least, most)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
