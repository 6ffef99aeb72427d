"""`python -m clients.benchmark.peers`: the command line of the comparison."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.benchmark.peers.plan import Plan
from traffic_sign_client.errors import ClientError
from traffic_signs.options import with_options
from traffic_signs.program import run_program

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
@with_options
def peers(
    plan: Plan,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report.", show_default="runs/peers-TIME")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print peers.json.")] = False,
) -> None:
    """Compare Triton with FastAPI, LitServe, BentoML, MLServer and Ray Serve: the same networks, machine and load.

    Each server is installed into an environment of its own the first time, about 2 GB in all. The settings of each are
    tried, then all are loaded in turn, one at a time. Every load's answers are compared with ONNX Runtime's. A server
    that cannot be installed or started is named in the report, and the others are measured. Nothing else should run on
    the machine meanwhile.

    Examples:
        python -m clients.benchmark.peers
        python -m clients.benchmark.peers --servers litserve,triton --rounds 1
        python -m clients.benchmark.peers --tasks recognize --clients 1,4,16
        python -m clients.benchmark.peers --rates 200,400,800 --json
        python -m clients.benchmark.peers --device cuda --crops 32
    """
    from clients.benchmark.peers.run import run_comparison
    from clients.benchmark.peers.table import markdown
    from traffic_signs.console import Console

    output = output or Path(f"runs/peers-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    console = Console(stderr=True)
    summary = run_comparison(plan, output, lambda text: console.print(text, soft_wrap=True))
    typer.echo(json.dumps(summary, indent=2) if as_json else markdown(summary), nl=as_json)
    console.print(f"look: {output}/report.html, peers.md and peers.json", soft_wrap=True)


def main() -> None:
    """Runs the command line; every expected problem is one line on standard error and exit code 1."""
    run_program("peers", lambda: app(prog_name="python -m clients.benchmark.peers"), ClientError)
