"""`signs export tune`: the command line of tuning."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from export.tuning.config import TuningConfig
from traffic_sign_client.errors import ClientError
from traffic_signs.options import with_options


@with_options
def tune(
    config: TuningConfig,
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

    from export.tuning.run import run_tuning
    from traffic_signs.console import Console

    if not (yes or dry_run or sys.stdin.isatty()):
        raise ClientError("there is nobody to ask before the best is published: give --yes or --dry-run")

    def may_publish() -> bool:
        return not dry_run and (yes or typer.confirm("publish it as the next version?", err=True))

    console = Console(stderr=True)
    folder = output or Path(f"runs/tune-{config.model}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    summary = run_tuning(config, folder, may_publish, console)
    console.print(f"look: {folder}/tuning.png and tuning.json", highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
