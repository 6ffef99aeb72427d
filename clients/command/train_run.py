"""How `signs train` carries out a run: in one process or several, with bars, notices and a record of the stage."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from traffic_signs.stage_metrics import StageResult
    from training.device import World
    from training.recipe import Recipe
    from training.runs import FinishedRun, RunReporter


def train(
    train_model: Callable[..., FinishedRun],
    model: str,
    recipe: Recipe,
    data: Sequence[str],
    name: str,
    runs: Path,
    as_json: bool,
) -> None:
    """Trains a model by a recipe on data sets as the command line gives them, and prints the result."""
    from training.data.dataset_mix import open_sources

    specs = [_absolute(spec) for spec in data]

    def run(reporter: RunReporter, world: World) -> FinishedRun:
        return train_model(open_sources(specs), recipe, name, runs, reporter, specs, world)

    _carry_out(run, model, recipe.config.device, name, runs, specs, as_json)


def resume(name: str, runs: Path, as_json: bool) -> None:
    """Resumes an interrupted run, and prints the result."""
    from training.kinds import resume_run
    from training.resume import load_interrupted

    def run(reporter: RunReporter, world: World) -> FinishedRun:
        return resume_run(name, runs, reporter, world)

    found = load_interrupted(runs / name)
    _carry_out(run, found.model, found.recipe.config.device, name, runs, found.specs, as_json)


def _carry_out(
    run: Callable[[RunReporter, World], FinishedRun],
    model: str,
    device: str,
    name: str,
    runs: Path,
    specs: Sequence[str],
    as_json: bool,
) -> None:
    """Trains in this process, or as one of several; the main one reports and records."""
    from training.device import joined_world

    with (
        joined_world(device) as world,
        _reporting(name, runs, world.is_main) as reporter,
        _recorded(model, reporter, world.is_main) as result,
    ):
        finished = run(reporter, world)
        if world.is_main:
            result.examples, result.figures = finished.examples, finished.metrics
            _print(finished, specs, as_json)


def resume_or_skip(name: str, runs: Path, as_json: bool) -> bool:
    """Resumes a run, or prints the result of a finished one; returns False where there is no run of that name yet."""
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
def _reporting(name: str, runs: Path, is_main: bool) -> Iterator[RunReporter]:
    """Shows bars and notices on standard error; on Ctrl-C prints the command that resumes the run."""
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
            typer.echo(f"signs: to resume this run: {how_to_resume(name, runs)}", err=True)
        raise


def _recorded(model: str, reporter: RunReporter, is_main: bool) -> AbstractContextManager[StageResult]:
    from traffic_signs.stage_metrics import StageResult, recorded_stage

    return recorded_stage("train", model, reporter.notify) if is_main else nullcontext(StageResult())


def _print(run: FinishedRun, specs: Sequence[str], as_json: bool) -> None:
    from traffic_signs.classes import GERMAN_SIGNS
    from training.checkpoint import load_info

    if as_json:
        typer.echo(json.dumps({"checkpoint": str(run.checkpoint), "run_id": run.run_id, "metrics": run.metrics}))
        return
    for key, value in run.metrics.items():
        shown = f"{value:.2%}" if key.endswith("accuracy") else f"{value:.4g}"
        typer.echo(f"{key.replace('_', ' ')}: {shown}")
    tested = next((spec for spec in specs if not spec.startswith(("synthetic=", "feedback="))), "")
    data = f" --data {shlex.quote(tested)}" if tested else ""
    typer.echo(f"plots: {run.folder / 'plots'}\ncheckpoint: {run.checkpoint}")
    own = tuple(load_info(run.checkpoint).class_names) not in (GERMAN_SIGNS.names, GERMAN_SIGNS.category_names)
    place = " --repository NAME" if own else ""  # the default one may have the German signs
    typer.echo(f"next: signs export onnx {shlex.quote(str(run.checkpoint))}{data}{place}")


def _absolute(spec: str) -> str:
    """Makes the path in a data set's name absolute, so that a run can be resumed from another folder."""
    kind, separator, path = spec.partition("=")
    if Path(spec).exists() or not separator:
        return str(Path(spec).resolve())
    return spec if kind == "synthetic" or not path else f"{kind}={Path(path).resolve()}"
