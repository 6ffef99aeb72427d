"""`signs train`: the command line of training. Stages are imported only when they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from traffic_signs.stage_metrics import StageResult
    from training.runs import FinishedRun, RunReporter

app = typer.Typer(no_args_is_help=True, help="Train a model; every run is recorded in MLflow.")

RunsOption = Annotated[Path, typer.Option(help="Folder of all runs and of MLflow's database.")]
ArchitectureOption = Annotated[
    str, typer.Option(help="small_resnet, a file of training/models/networks, or with torchvision resnet18, ...")
]
NameOption = Annotated[str, typer.Option(help="Name of the run; its folder is RUNS/NAME.", show_default=False)]
LearningRateOption = Annotated[float, typer.Option(min=1e-7, max=10, help="Peak of the one-cycle schedule.")]
WeightDecayOption = Annotated[float, typer.Option(min=0, max=10, help="Of AdamW: more keeps the weights smaller.")]
PatienceOption = Annotated[
    int, typer.Option(min=0, help="Stop after so many epochs without a smaller held-out loss; 0: never.")
]
FoldsOption = Annotated[int, typer.Option(min=0, help="Cross-validate first, with this many folds.")]
KeepLeakedOption = Annotated[
    bool, typer.Option("--keep-leaked", help="Keep training signs that another data set's test split shows, too.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of weights, order and augmentation.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, or auto.")]
PrecisionOption = Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 where the hardware has it.")]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, max=256, help="Processes that prepare batches.", show_default="chosen")
]
ResumeOrSkipOption = Annotated[
    bool,
    typer.Option(
        "--resume-or-skip", help="Go on with NAME where it was broken off, print it where it is done: to be repeated."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.callback()
def _train() -> None:
    """Train a model; every run is recorded in MLflow."""


@app.command()
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
    name: NameOption = "",
    runs: RunsOption = Path("runs"),
    architecture: ArchitectureOption = "small_resnet",
    epochs: Annotated[
        int,
        typer.Option(
            min=0,
            help="Passes over the training crops; 0: 10 to 80, for 2.4 million crops, 4.7 million on a GPU.",
        ),
    ] = 0,
    batch_size: Annotated[
        int, typer.Option(min=0, help="Crops a step; 0: 256, on a GPU 512; fewer for fewer crops.")
    ] = 0,
    learning_rate: Annotated[
        float,
        typer.Option(
            min=0, max=10, help="Peak of the one-cycle schedule; 0: 0.004, 0.0056 on a GPU, 0.002 for few crops."
        ),
    ] = 0,
    weight_decay: WeightDecayOption = 0.1,
    holdout: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the tracks held out to watch and to calibrate on.")
    ] = 0.05,
    refit: Annotated[bool, typer.Option(help="Train once more on everything, held-out crops included.")] = False,
    patience: PatienceOption = 0,
    folds: FoldsOption = 0,
    keep_leaked: KeepLeakedOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    resume_or_skip: ResumeOrSkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the sign classifier on the crops of the training splits and judge it on the test splits.

    A run that was interrupted or killed is taken up again by `signs train resume NAME`. Several GPUs: put
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
    from training.data.dataset_mix import open_sources
    from training.device import joined_world
    from training.models.classifier import MODEL_NAME
    from training.recipe import Recipe, TrainingConfig

    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        patience=patience,
        seed=seed,
        device=device,
        precision=precision,
        workers=workers,
    )
    recipe = Recipe(config, architecture, folds, holdout, refit, keep_leaked)
    if resume_or_skip and _resume_or_skip(name, runs, as_json):
        return
    name = name or f"classifier-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with (
        joined_world(device) as world,
        _listening(name, runs, world.is_main) as reporter,
        _recorded(MODEL_NAME, reporter, world.is_main) as result,
    ):
        specs = [_absolute(spec) for spec in data]
        run = train_classifier(open_sources(specs), recipe, name, runs, reporter, specs, world)
        if world.is_main:
            _fill_in(result, run)
            _report(run, specs, as_json)


@app.command()
def detector(
    data: Annotated[
        list[str],
        typer.Option(
            help="gtsdb=PATH (the benchmark of street scenes, a folder or zip), feedback=PATH (corrected answers), or "
            "your own: coco=PATH, yolo=PATH; give it more than once to learn from both.",
            show_default=False,
        ),
    ],
    name: NameOption = "",
    runs: RunsOption = Path("runs"),
    architecture: Annotated[
        str, typer.Option(help="centre_net_small, or centre_net: nearly twice the arithmetic.")
    ] = "centre_net_small",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the scenes, 8 crops of each a pass.")] = 32,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops of 320x320 pixels a step.")] = 32,
    learning_rate: LearningRateOption = 3e-3,
    weight_decay: WeightDecayOption = 0.02,
    holdout: Annotated[float, typer.Option(min=0, max=0.5, help="Share of the scenes held out to watch.")] = 0.1,
    refit: Annotated[bool, typer.Option(help="Train once more on every scene, held-out ones included.")] = False,
    patience: PatienceOption = 0,
    folds: FoldsOption = 0,
    keep_leaked: KeepLeakedOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    resume_or_skip: ResumeOrSkipOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train the sign detector on the training scenes and judge it by the benchmark's rules on the test scenes.

    A run that was interrupted or killed is taken up again by `signs train resume NAME`. The scenes lie in memory
    while it learns: 3 GB for all of GTSDB, and at most 3.3 MB for each picture of feedback.

    \b
    signs train detector --data gtsdb=FullIJCNN2013.zip
    signs train detector --data gtsdb=FullIJCNN2013 --name detector --folds 5
    signs train detector --data gtsdb=FullIJCNN2013.zip --data feedback=feedback
    """
    from training.data.dataset_mix import open_sources
    from training.detector.runs import train_detector
    from training.device import joined_world
    from training.models.detector import MODEL_NAME
    from training.recipe import Recipe, TrainingConfig

    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        patience=patience,
        seed=seed,
        device=device,
        precision=precision,
        workers=workers,
    )
    recipe = Recipe(config, architecture, folds, holdout, refit, keep_leaked)
    if resume_or_skip and _resume_or_skip(name, runs, as_json):
        return
    name = name or f"detector-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with (
        joined_world(device) as world,
        _listening(name, runs, world.is_main) as reporter,
        _recorded(MODEL_NAME, reporter, world.is_main) as result,
    ):
        specs = [_absolute(spec) for spec in data]
        run = train_detector(open_sources(specs), recipe, name, runs, reporter, specs, world)
        if world.is_main:
            _fill_in(result, run)
            _report(run, specs, as_json)


@app.command()
def resume(
    name: Annotated[str, typer.Argument(help="Name of the interrupted run.")],
    runs: RunsOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Go on with a run that was interrupted or killed, from its last whole epoch to the result it would have had.

    \b
    signs train resume gtsrb
    """
    from training.classifier.runs import resume_classifier
    from training.detector.runs import resume_detector
    from training.device import joined_world
    from training.models.detector import MODEL_NAME
    from training.resume import CHECKPOINT, load_interrupted
    from training.runs import resume_registration

    found = load_interrupted(runs / name)
    go_on: Callable[..., FinishedRun] = resume_detector if found.model == MODEL_NAME else resume_classifier
    if (runs / name / CHECKPOINT).exists():
        go_on = resume_registration
    with (
        joined_world(found.recipe.config.device) as world,
        _listening(name, runs, world.is_main) as reporter,
        _recorded(found.model, reporter, world.is_main) as result,
    ):
        run = go_on(name, runs, reporter, world)
        if world.is_main:
            _fill_in(result, run)
            _report(run, found.specs, as_json)


@app.command()
def throughput(
    architecture: ArchitectureOption = "small_resnet",
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 256,
    steps: Annotated[int, typer.Option(min=1, help="Steps a measurement.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured, in turn.")] = 5,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: WorkersOption = None,
    as_json: JsonOption = False,
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
    from training.recipe import TrainingConfig

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


def _resume_or_skip(name: str, runs: Path, as_json: bool) -> bool:
    """Goes on with a run, or prints what it came to; returns False where there is no run of that name yet."""
    import json

    from training.checkpoint import load_info
    from training.resume import CHECKPOINT, SETTINGS

    if not name:
        raise typer.BadParameter("which run is to be resumed? Give its --name too", param_hint="--resume-or-skip")
    if (runs / name / SETTINGS).exists():
        resume(name, runs, as_json)
        return True
    checkpoint = runs / name / CHECKPOINT
    if not checkpoint.exists():
        return False
    info = load_info(checkpoint)
    done = {"checkpoint": str(checkpoint), "run_id": info.run_id, "metrics": info.metrics}
    typer.echo(json.dumps(done) if as_json else f"done already: {checkpoint}")
    return True


@contextmanager
def _listening(name: str, runs: Path, is_main: bool) -> Iterator[RunReporter]:
    """Shows bars and notices on standard error; on Ctrl-C it says how to go on, where that can be."""
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars
    from training.resume import SETTINGS, how_to_resume
    from training.runs import RunReporter

    if not is_main:
        yield RunReporter()
        return
    console = Console(stderr=True)
    try:
        with progress_bars(console) as progress:
            yield RunReporter(
                progress, lambda notice: console.print(f"note: {notice}", highlight=False, soft_wrap=True)
            )
    except KeyboardInterrupt:
        if (runs / name / SETTINGS).exists():
            typer.echo(f"signs: to go on with this run: {how_to_resume(name, runs)}", err=True)
        raise


def _recorded(model: str, reporter: RunReporter, is_main: bool) -> AbstractContextManager[StageResult]:
    from traffic_signs.stage_metrics import StageResult, recorded_stage

    return recorded_stage("train", model, reporter.notify) if is_main else nullcontext(StageResult())


def _fill_in(result: StageResult, run: FinishedRun) -> None:
    result.examples, result.figures = run.examples, run.metrics


def _report(run: FinishedRun, specs: Sequence[str], as_json: bool) -> None:
    import json
    import shlex

    if as_json:
        typer.echo(json.dumps({"checkpoint": str(run.checkpoint), "run_id": run.run_id, "metrics": run.metrics}))
        return
    for key, value in run.metrics.items():
        shown = f"{value:.2%}" if key.endswith("accuracy") else f"{value:.4g}"
        typer.echo(f"{key.replace('_', ' ')}: {shown}")
    tested = next((spec for spec in specs if not spec.startswith(("synthetic=", "feedback="))), "")
    data = f" --data {shlex.quote(tested)}" if tested else ""
    typer.echo(f"plots: {run.folder / 'plots'}\ncheckpoint: {run.checkpoint}")
    typer.echo(f"next: signs export onnx {shlex.quote(str(run.checkpoint))}{data}")


def _absolute(spec: str) -> str:
    """Makes the path in a data set's name absolute, so that a run can be resumed from another folder."""
    kind, separator, path = spec.partition("=")
    if Path(spec).exists() or not separator:
        return str(Path(spec).resolve())
    return spec if kind == "synthetic" or not path else f"{kind}={Path(path).resolve()}"
