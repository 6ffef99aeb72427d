"""`signs export tune`: the command line of tuning."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.command.output import print_json
from export.tuning.config import TuningConfig
from traffic_signs.options import with_options
from traffic_signs.settings import OUTPUT, DryRun, Json, Setting


@with_options
def tune(
    config: TuningConfig,
    output: Annotated[Path | None, replace(OUTPUT, show_default="runs/tune-MODEL-TIME")] = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, Setting("Publish without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Find the serving settings with the highest throughput within a latency budget, on this machine.

    Every combination of instances, threads, queue delay and largest batch runs on a real tritonserver under load, with
    drawn pictures, in rounds of a new random order. The fastest one whose p99 is within the budget is published as the
    next version: the same weights with another config.pbtxt. Later exports keep its settings. --output gets tuning.png
    and, after each round, tuning.json.

    Exit codes: 0 a combination is within the budget; 1 none is, and nothing changes.

    Examples:
        signs export tune sign_classifier --latency-budget-ms 20
        signs export tune sign_classifier 3 --latency-budget-ms 20 --dry-run
        signs export tune sign_detector --latency-budget-ms 2000 --max-batch 1,2,4
        signs export tune sign_classifier --latency-budget-ms 20 --concurrency 128
    """
    import sys

    from export.tuning.run import run_tuning
    from traffic_sign_client.errors import ClientError
    from traffic_signs.console import Console

    if not (yes or dry_run or sys.stdin.isatty()):
        raise ClientError("cannot ask before publishing, because the input is not a terminal: give --yes or --dry-run")

    def may_publish() -> bool:
        return not dry_run and (yes or typer.confirm("publish it as the next version?", err=True))

    console = Console(stderr=True)
    folder = output or Path(f"runs/tune-{config.model}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    summary = run_tuning(config, folder, may_publish, console)
    console.print(f"look: {folder}/tuning.png and tuning.json", soft_wrap=True)
    if as_json:
        print_json(summary, indent=2)
