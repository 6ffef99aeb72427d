"""`signs train`: the command line of training. Stages are imported only when they are called."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train a model; every run is recorded in MLflow.")


@app.callback()
def _train() -> None:
    """Train a model; every run is recorded in MLflow."""


@app.command()
def classifier(
    data: Annotated[str, typer.Option(help="gtsdb=PATH or gtsrb=PATH: a folder or zip.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the run; its folder is RUNS/NAME.")] = "",
    runs: Annotated[Path, typer.Option(help="Folder of all runs and of MLflow's database.")] = Path("runs"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training crops.")] = 80,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of weights, order and augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")] = "auto",
    folds: Annotated[int, typer.Option(min=0, help="Cross-validate first, with this many folds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train the sign classifier on the crops of a data set's training split and judge it on its test split.

    \b
    signs train classifier --data gtsdb=FullIJCNN2013.zip
    signs train classifier --data gtsdb=FullIJCNN2013 --folds 5 --name baseline
    signs train classifier --data gtsrb=GTSRB --epochs 16
    """
    import json
    import shlex

    from rich.console import Console

    from training.data.load import load_data
    from training.progress import progress_bars
    from training.runs import run_training
    from training.train import TrainingConfig

    dataset = load_data(data)
    for notice in dataset.notices:
        typer.echo(f"note: {notice}", err=True)
    config = TrainingConfig(epochs=epochs, seed=seed, device=device)
    name = name or f"classifier-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with progress_bars(Console(stderr=True)) as progress:
        run = run_training(dataset, config, name, runs, folds, progress)
    if as_json:
        result = {"checkpoint": str(run.checkpoint), "run_id": run.run_id, "metrics": run.metrics}
        typer.echo(json.dumps(result))
        return
    for key, value in run.metrics.items():
        typer.echo(f"{key.replace('_', ' ')}: {value:.2%}")
    typer.echo(f"checkpoint: {run.checkpoint}\nnext: signs export onnx {run.checkpoint} --data {shlex.quote(data)}")
