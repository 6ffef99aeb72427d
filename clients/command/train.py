"""`signs train`: the command line of training. Stages are imported only when they are called."""

from pathlib import Path
from typing import Annotated

import typer

from clients.command import train_run
from clients.command.output import print_result, progress_bars
from clients.command.train_run import RunSettings
from traffic_signs.options import with_options
from traffic_signs.settings import DATA_METAVAR, DATA_SET, Json, Rounds, Runs, Setting
from training.recipe import Architecture, Compile, DetectorRecipe, Device, Precision, Recipe, TrainingConfig, Workers

app = typer.Typer(no_args_is_help=True, help="Train a classifier or a detector; MLflow records every run.")


@app.command()
@with_options
def classifier(
    data: Annotated[
        tuple[str, ...],
        Setting(f"Data set, repeatable: synthetic=N (drawn signs), {DATA_SET}", metavar=DATA_METAVAR, repeatable=True),
    ],
    recipe: Recipe,
    run: RunSettings,
) -> None:
    """Train the sign classifier on the crops of the training splits and evaluate it on the test splits.

    If a run is interrupted or killed, `signs train resume NAME` resumes it. For several GPUs put
    `torchrun --nproc-per-node=GPUS --no-python` before the command.

    Examples:
        signs train classifier --data gtsdb=FullIJCNN2013.zip
        signs train classifier --data gtsrb=data/gtsrb --name gtsrb
        signs train classifier --data gtsdb=GTSDB --data gtsrb=GTSRB --folds 5
        signs train classifier --data gtsrb=data/gtsrb --data feedback=feedback
        signs train classifier --data synthetic=20000 --name drawn
        signs train classifier --data images=pictures --name mine
    """
    from training.classifier.runs import train_classifier

    train_run.train(train_classifier, "classifier", recipe, data, run)


@app.command()
@with_options
def detector(
    data: Annotated[
        tuple[str, ...],
        Setting(
            "Data set of scenes, repeatable: gtsdb=PATH, feedback=PATH, or your own: coco=PATH, yolo=PATH; PATH is a "
            "folder or a zip.",
            metavar=DATA_METAVAR,
            repeatable=True,
        ),
    ],
    recipe: DetectorRecipe,
    run: RunSettings,
) -> None:
    """Train the sign detector on the training scenes and evaluate it by the benchmark's rules on the test scenes.

    If a run is interrupted or killed, `signs train resume NAME` resumes it. The scenes are in memory during the
    training: 3 GB for all of GTSDB, and at most 3.3 MB for each picture of feedback.

    Examples:
        signs train detector --data gtsdb=FullIJCNN2013.zip
        signs train detector --data gtsdb=FullIJCNN2013 --name detector --folds 5
        signs train detector --data gtsdb=FullIJCNN2013.zip --data feedback=feedback
    """
    from training.detector.runs import train_detector

    train_run.train(train_detector, "detector", recipe, data, run)


@app.command()
@with_options
def resume(
    name: Annotated[str, Setting("Name of the interrupted run.", argument=True)],
    runs: Runs = Path("runs"),
    device: Annotated[
        str,
        Setting("Device to resume on: cpu, cuda, cuda:1 or auto.", metavar="DEVICE", show_default="that of the run"),
    ] = "",
    as_json: Json = False,
) -> None:
    """Resume an interrupted run from its last complete epoch.

    On a CPU the result is that of a run without interruption. On another device batch size, learning rate, length and
    precision stay those that the run began with.

    Examples:
        signs train resume gtsrb
        signs train resume gtsrb --device cpu
    """
    train_run.resume(name, runs, as_json, device)


@app.command()
@with_options
def throughput(
    architecture: Architecture = Recipe.architecture,
    batch_size: Annotated[int, Setting("Crops in a step.", min=0, show_default="256, on a GPU 512")] = 0,
    steps: Annotated[int, Setting("Steps in a measurement.", min=1)] = 10,
    rounds: Rounds = 5,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
    compile: Compile = False,
    as_json: Json = False,
) -> None:
    """Measure whether augmentation keeps up: images per second of the training loop and of the network alone.

    Both run the same training steps on noise; the loop augments its batches, the network alone has them in memory. A
    ratio of 1 means that augmentation costs no time.

    Examples:
        signs train throughput
        signs train throughput --device cpu --precision fp32 --json
    """
    from training.classifier.throughput import measure_throughput

    config = TrainingConfig(
        epochs=1, batch_size=batch_size, device=device, precision=precision, workers=workers, compile=compile
    )
    with progress_bars() as progress:
        result = measure_throughput(architecture, config, steps, rounds, progress)
    print_result(
        result,
        as_json,
        f"{result.device}, {result.precision}, {result.workers} workers, batches of {result.batch_size}\n"
        f"network alone: {result.network:.0f} images/s\nwhole loop:    {result.loop:.0f} images/s\n"
        f"ratio:         {result.ratio:.2f} (median of {rounds} pairs)",
    )
