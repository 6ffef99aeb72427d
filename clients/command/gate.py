"""`signs export gate`: the command line of the promotion gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.errors import UndecidedError

if TYPE_CHECKING:
    from export.gate.run import GateConfig, Outcome

REFUSED = 1


def gate(
    model: Annotated[str, typer.Argument(help="sign_classifier, sign_detector.", show_default=False)],
    data: Annotated[
        str,
        typer.Option(
            help="The evaluation set, gtsdb=PATH, gtsrb=PATH or feedback=PATH: a folder or zip.", show_default=False
        ),
    ],
    repository: Annotated[
        str, typer.Option("--repository", "-r", help="Folder, or s3://, gs:// or az:// address.")
    ] = "model_repository",
    challenger: Annotated[int | None, typer.Option(min=1, help="Version to judge.", show_default="the newest")] = None,
    champion: Annotated[
        int | None,
        typer.Option(
            min=1, help="Version to compare it with.", show_default="the champion; before any promotion the one before"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    fingerprint: Annotated[
        str, typer.Option(help="Beginning of the evaluation set's; another set is an error.", show_default=False)
    ] = "",
    significance: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="How often each test may refuse an equal challenger by chance.")
    ] = 0.05,
    max_loss: Annotated[
        float, typer.Option(min=0, max=1, help="Largest fall of accuracy or signs found, chance or not; of mAP50.")
    ] = 0.005,
    class_floor: Annotated[float, typer.Option(min=0, max=1, help="Recall below which a class has collapsed.")] = 0.5,
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of a first champion.", show_default="0.9; of a detector 0.5"),
    ] = None,
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Of a detector: the score from which on a sign counts as found.")
    ] = 0.3,
    max_latency_ratio: Annotated[
        float, typer.Option(min=0, help="Largest ratio of latencies to the champion's, at the median and at p99.")
    ] = 1.25,
    max_p99_ms: Annotated[
        float | None, typer.Option(min=0, help="Largest p99 of single requests in ms.", show_default="any")
    ] = None,
    max_size_ratio: Annotated[float, typer.Option(min=0, help="Largest ratio of sizes to the champion's.")] = 2.0,
    max_size_mb: Annotated[
        float | None, typer.Option(min=0, help="Largest size of all files in MB.", show_default="any")
    ] = None,
    requests: Annotated[
        int | None,
        typer.Option(min=10, help="Pairs of requests to time.", show_default="100 to 1000, what 30 s allow"),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of all runs and of MLflow's database.")] = Path("runs"),
    home: Annotated[Path, typer.Option(help="Where tritonserver is, or is to be installed.")] = Path(".tritonserver"),
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file: both must be signed with its private half.", show_default=False)
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option(help="PEM file: sign the challenger, verdict included.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge, and write nothing down.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Judge a challenger against the champion: may it become champion?

    Both are served side by side by a tritonserver of their own and asked about the same images. The challenger is
    refused where it is worse overall (exact paired test), where a class collapses, where it does not answer as the
    trained network did, where it is slower or larger than its budget, or where Triton cannot load it. The verdict goes
    into the challenger's manifest and, as tags and the alias challenger, into MLflow.

    Exit code 0: passed; 1: refused; 2: it could not be judged, the reason on standard error.

    \b
    signs export gate sign_classifier --data gtsrb=GTSRB
    signs export gate sign_classifier --data gtsrb=GTSRB --challenger 4 --champion 2 --dry-run --json
    signs export gate sign_detector --data gtsdb=FullIJCNN2013.zip --max-p99-ms 80
    """
    try:
        from export.gate.run import GateConfig
        from export.gate.verdict import Limits

        if split not in ("train", "test"):
            raise typer.BadParameter(f"{split!r}: choose train or test", param_hint="--split")
        limits = Limits(
            significance=significance,
            max_loss=max_loss,
            class_floor=class_floor,
            max_latency_ratio=max_latency_ratio,
            max_p99_ms=max_p99_ms,
            max_size_ratio=max_size_ratio,
            max_size_mb=max_size_mb,
        )
        passed = _ask(
            GateConfig(
                model=model,
                repository=repository,
                data=data,
                split="train" if split == "train" else "test",
                limits=limits,
                min_score=min_score,
                challenger=challenger,
                champion=champion,
                fingerprint=fingerprint.lower(),
                score_threshold=score_threshold,
                requests=requests,
                home=home,
                runs=runs,
                public_key=public_key,
                private_key=private_key,
                dry_run=dry_run,
            ),
            as_json,
        )
    except typer.BadParameter:
        raise
    except Exception as error:  # also a fault of ours: it must not look like a refusal
        raise UndecidedError from error
    if not passed:
        raise typer.Exit(REFUSED)


def _ask(config: GateConfig, as_json: bool) -> bool:
    """Judges, and prints the outcome; returns whether the challenger passed."""
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
