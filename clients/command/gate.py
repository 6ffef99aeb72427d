"""`signs export gate`: the command line of the promotion gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from clients.command.output import print_lines, print_note
from export.errors import UndecidedError
from export.gate.config import GateConfig
from traffic_signs.options import with_options
from traffic_signs.settings import Json

if TYPE_CHECKING:
    from export.gate.run import Outcome

REFUSED = 1


@with_options
def gate(config: GateConfig, as_json: Json = False) -> None:
    """Compare a challenger with the champion, and decide whether it may become the champion.

    A tritonserver serves both side by side and gets the same images. The challenger is refused if it is significantly
    worse overall (exact paired test), if a class collapses, if its answers differ from those of the trained network, if
    it exceeds its budget of latency or size, or if Triton cannot load it. The verdict is recorded in the challenger's
    manifest, signed with --private-key, and in MLflow, as tags and the alias challenger.

    Exit codes: 0 passed; 1 refused; 2 it could not be evaluated, and standard error has the reason.

    Examples:
        signs export gate sign_classifier --data gtsrb=GTSRB
        signs export gate sign_classifier --data gtsrb=GTSRB --challenger 4
        signs export gate sign_detector --data gtsdb=GTSDB.zip --max-p99-ms 80
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

    stage = nullcontext(StageResult()) if config.dry_run else recorded_stage("gate", config.model, print_note)
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
    import shlex

    from rich.text import Text

    from export.repository.class_names import other_classes_option
    from export.repository.promotion import champion
    from export.repository.store import open_store, repository_flag
    from traffic_signs.console import Console, plain_table

    verdict, data = outcome.verdict, outcome.verdict.data
    against = f"against version {verdict.champion.version}" if verdict.champion else "without another version"
    print_lines(
        f"{verdict.model} {verdict.challenger.version} {against}, on {data['signs']:,} signs of {data['name']} "
        f"({data['split']} split, fingerprint {data['fingerprint'][:12]})",
        style="bold",
    )
    table = plain_table()
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in verdict.findings:
        state = Text("passed", "green") if finding.passed else Text("refused", "red")
        table.add_row(state, finding.rule, finding.text)
    Console().print(table)
    lines = [f"note: {notice}" for notice in verdict.notices]
    lines.append(f"answered by {verdict.server}")
    if outcome.unrecorded:
        lines.append(f"note: not recorded in MLflow: {outcome.unrecorded}")
    if outcome.in_manifest:
        registered = f" and version {outcome.in_mlflow} in MLflow's registry" if outcome.in_mlflow else ""
        lines.append(f"recorded: the manifest of version {verdict.challenger.version}{registered}")
    print_lines(*lines)
    print_lines(verdict.sentence, style="bold")
    if verdict.passed and outcome.in_manifest:
        store, number = open_store(config.repository), verdict.challenger.version
        others = other_classes_option(store, config.model, number, champion(store, config.model))
        runs = "" if config.runs == GateConfig.runs else f" --runs {shlex.quote(str(config.runs))}"
        flags = f"{others}{repository_flag(config.repository)}{runs}"
        print_lines(f"next: signs repository promote {verdict.model} {number} --gated{flags}")
