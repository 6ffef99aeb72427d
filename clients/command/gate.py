"""`signs export gate`: the command line of the promotion gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from export.errors import UndecidedError
from export.gate.config import GateConfig
from traffic_signs.options import with_options

if TYPE_CHECKING:
    from export.gate.run import Outcome

REFUSED = 1


@with_options
def gate(
    config: GateConfig, as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False
) -> None:
    """Compare a challenger with the champion: may it become champion?

    Both are served side by side by a tritonserver of their own and asked about the same images. The challenger is
    refused where it is worse overall (exact paired test), where a class collapses, where it does not answer as the
    trained network did, where it is slower or larger than its budget, or where Triton cannot load it. The verdict goes
    into the challenger's manifest and, as tags and the alias challenger, into MLflow.

    Exit code 0: passed; 1: refused; 2: it could not be evaluated, the reason on standard error.

    \b
    signs export gate sign_classifier --data gtsrb=GTSRB
    signs export gate sign_classifier --data gtsrb=GTSRB --challenger 4 --champion 2 --dry-run --json
    signs export gate sign_detector --data gtsdb=FullIJCNN2013.zip --max-p99-ms 80
    """
    try:
        passed = _ask(config, as_json)
    except Exception as error:  # also a fault of ours: it must not look like a refusal
        raise UndecidedError from error
    if not passed:
        raise typer.Exit(REFUSED)


def _ask(config: GateConfig, as_json: bool) -> bool:
    """Runs the gate and prints the outcome; returns whether the challenger passed."""
    import json
    from contextlib import nullcontext

    from export.gate.run import run_gate
    from traffic_signs.console import Console
    from traffic_signs.stage_metrics import StageResult, recorded_stage

    def note(sentence: str) -> None:
        typer.echo(f"note: {sentence}", err=True)

    stage = nullcontext(StageResult()) if config.dry_run else recorded_stage("gate", config.model, note)
    with stage as result:
        outcome = run_gate(config, Console(stderr=True))
        result.version, result.gate_passed = outcome.verdict.challenger.version, outcome.verdict.passed
    if as_json:
        recorded = {"manifest": outcome.in_manifest, "mlflow": outcome.in_mlflow, "unrecorded": outcome.unrecorded}
        content = {"model": config.model, **outcome.verdict.as_dict(), "recorded": recorded}
        typer.echo(json.dumps(content, allow_nan=False))
    else:
        _print(config, outcome)
    return outcome.verdict.passed


def _print(config: GateConfig, outcome: Outcome) -> None:
    from rich.table import Table
    from rich.text import Text

    from export.repository.store import repository_flag
    from traffic_signs.console import Console

    console, verdict = Console(), outcome.verdict
    against = f"against version {verdict.champion.version}" if verdict.champion else "against nothing"
    data = verdict.data
    console.print(
        Text.assemble(
            (f"{verdict.model} {verdict.challenger.version}", "bold"),
            f" {against}, on {data['signs']:,} signs of {data['name']} ({data['split']} split, fingerprint "
            f"{data['fingerprint'][:12]})",
        ),
        highlight=False,
        soft_wrap=True,
    )
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in verdict.findings:
        state = Text("passed", "green") if finding.passed else Text("refused", "red")
        table.add_row(state, finding.rule, finding.text)
    console.print(table, highlight=False)
    lines = [f"note: {notice}" for notice in verdict.notices]
    lines.append(f"answered by {verdict.server}")
    if outcome.unrecorded:
        lines.append(f"note: not recorded in MLflow: {outcome.unrecorded}")
    if outcome.in_manifest:
        registered = f" and version {outcome.in_mlflow} in MLflow's registry" if outcome.in_mlflow else ""
        lines.append(f"recorded: the manifest of version {verdict.challenger.version}{registered}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    console.print(verdict.sentence, style="bold", highlight=False, soft_wrap=True)
    if verdict.passed and outcome.in_manifest:
        where = repository_flag(config.repository)
        number = verdict.challenger.version
        console.print(
            f"next: signs repository promote {verdict.model} {number} --gated{where}",
            highlight=False,
            soft_wrap=True,
        )
