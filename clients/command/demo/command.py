"""`signs demo`: the command line of the demo."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from traffic_signs.options import with_options
from traffic_signs.settings import Home, Runs


@with_options
def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="GTSDB folder or FullIJCNN2013.zip; drawn scenes without it.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the run; its folder is RUNS/NAME.")] = "",
    runs: Runs = Path("runs"),
    repository: Annotated[
        Path | None, typer.Option(help="Triton model repository of the demo.", show_default="RUNS/model_repository")
    ] = None,
    home: Home = Path(".tritonserver"),
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the training crops; 0: by their number.")] = 0,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the drawn data and of the training.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of the table.")] = False,
) -> None:
    """Run the whole loop: data, training, export with proof, a version, a real tritonserver, clients, a report.

    What it publishes goes into a model repository of its own: the shipped models stay what they are.

    \b
    signs demo                                 on scenes it draws itself
    signs demo --data FullIJCNN2013.zip        on real scenes
    """
    import json

    from clients.command.demo.loop import run_demo
    from clients.command.demo.table import print_table
    from traffic_signs.console import Console
    from training.recipe import Recipe, TrainingConfig

    console = Console(stderr=as_json)
    name = name or f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    # Its data are few: more of them calibrate, and every sign is learned from in the end.
    recipe = Recipe(TrainingConfig(epochs=epochs, seed=seed), holdout=0.1, refit=True)
    summary = run_demo(data, recipe, name, runs, repository or runs / "model_repository", home, console)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
    else:
        print_table(summary, console)
