"""`signs train`: the command line of training. Stages are imported only when they are called."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clients.command import train_run
from traffic_signs.options import with_options
from traffic_signs.settings import Runs, Setting
from training.recipe import Architecture, DetectorRecipe, Device, Precision, Recipe, TrainingConfig, Workers

app = typer.Typer(no_args_is_help=True, help="Train a model; every run is recorded in MLflow.")

Name = Annotated[str, Setting("Name of the run; its folder is RUNS/NAME.", show_default=False)]
ResumeOrSkip = Annotated[
    bool,
    Setting(
        "Resume NAME where it was interrupted, print it where it is done: for a step that is repeated.",
        flags=("--resume-or-skip",),
    ),
]
Json = Annotated[bool, Setting("Print the result as JSON.", flags=("--json",))]


@app.command()
@with_options
def classifier(
    data: Annotated[
        list[str],
        typer.Option(
            help="gtsdb=PATH, gtsrb=PATH (a folder or zip), feedback=PATH (corrected answers), synthetic=N (drawn "
            "signs), or your own: images=PATH (a folder of pictures for each class), coco=PATH, yolo=PATH; give it "
            "more than once to learn from several.",
            show_default=False,
        ),
    ],
    recipe: Recipe,
    name: Name = "",
    runs: Runs = Path("runs"),
    resume_or_skip: ResumeOrSkip = False,
    as_json: Json = False,
) -> None:
    """Train the sign classifier on the crops of the training splits and evaluate it on the test splits.

    A run that was interrupted or killed is resumed by `signs train resume NAME`. Several GPUs: put
    `torchrun --nproc-per-node=GPUS --no-python` before the command.

    \b
    signs train classifier --data gtsdb=FullIJCNN2013.zip
    signs train classifier --data gtsrb=data/gtsrb --name gtsrb
    signs train classifier --data gtsdb=FullIJCNN2013 --data gtsrb=GTSRB --folds 5
    signs train classifier --data gtsrb=data/gtsrb --data feedback=feedback
    signs train classifier --data synthetic=20000 --name drawn
    signs train classifier --data images=pictures --name mine
    """
    from training.classifier.runs import train_classifier
    from training.models.classifier import MODEL_NAME

    if not (resume_or_skip and train_run.resume_or_skip(name, runs, as_json)):
        train_run.train(train_classifier, MODEL_NAME, recipe, data, name or _dated("classifier"), runs, as_json)


@app.command()
@with_options
def detector(
    data: Annotated[
        list[str],
        typer.Option(
            help="gtsdb=PATH (the benchmark of street scenes, a folder or zip), feedback=PATH (corrected answers), or "
            "your own: coco=PATH, yolo=PATH; give it more than once to learn from both.",
            show_default=False,
        ),
    ],
    recipe: DetectorRecipe,
    name: Name = "",
    runs: Runs = Path("runs"),
    resume_or_skip: ResumeOrSkip = False,
    as_json: Json = False,
) -> None:
    """Train the sign detector on the training scenes and evaluate it by the benchmark's rules on the test scenes.

    A run that was interrupted or killed is resumed by `signs train resume NAME`. The scenes lie in memory
    while it learns: 3 GB for all of GTSDB, and at most 3.3 MB for each picture of feedback.

    \b
    signs train detector --data gtsdb=FullIJCNN2013.zip
    signs train detector --data gtsdb=FullIJCNN2013 --name detector --folds 5
    signs train detector --data gtsdb=FullIJCNN2013.zip --data feedback=feedback
    """
    from training.detector.runs import train_detector
    from training.models.detector import MODEL_NAME

    if not (resume_or_skip and train_run.resume_or_skip(name, runs, as_json)):
        train_run.train(train_detector, MODEL_NAME, recipe, data, name or _dated("detector"), runs, as_json)


@app.command()
@with_options
def resume(
    name: Annotated[str, typer.Argument(help="Name of the interrupted run.")],
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Resume a run that was interrupted or killed, from its last whole epoch to the result it would have had.

    \b
    signs train resume gtsrb
    """
    train_run.resume(name, runs, as_json)


@app.command()
@with_options
def throughput(
    architecture: Architecture = Recipe.architecture,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 256,
    steps: Annotated[int, typer.Option(min=1, help="Steps a measurement.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured, in turn.")] = 5,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Measure whether preparing the crops keeps up: the loop's images per second beside the network's alone.

    Both take the same training steps on noise; one gets its batches from the augmentation, the other has them in
    memory. A ratio of 1 means that preparing them costs nothing.

    \b
    signs train throughput
    signs train throughput --device cpu --precision fp32 --json
    """
    import json
    from dataclasses import asdict

    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars
    from training.classifier.throughput import measure_throughput

    config = TrainingConfig(epochs=1, batch_size=batch_size, device=device, precision=precision, workers=workers)
    with progress_bars(Console(stderr=True)) as progress:
        result = measure_throughput(architecture, config, steps, rounds, progress)
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    typer.echo(
        f"{result.device}, {result.precision}, {result.workers} workers, batches of {batch_size}\n"
        f"network alone: {result.network:.0f} images/s\nwhole loop:    {result.loop:.0f} images/s\n"
        f"ratio:         {result.ratio:.2f} (median of {rounds} pairs)"
    )


def _dated(kind: str) -> str:
    return f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
