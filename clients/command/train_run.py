"""How `signs train` carries out a run: in one process or several, with bars, notices and a record of the stage."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.command.output import print_json, print_result
from traffic_signs.settings import BaseSettings, Json, Runs, Setting, SettingError

if TYPE_CHECKING:
    from training.device import World
    from training.recipe import Recipe
    from training.runs import FinishedRun, RunReporter


@dataclass(frozen=True)
class RunSettings(BaseSettings):
    """Where a run is kept, and what is printed."""

    name: Annotated[
        str,
        Setting("Name of the run; its folder is RUNS/NAME.", metavar="NAME", show_default="the command and the time"),
    ] = ""
    runs: Runs = Path("runs")
    resume_or_skip: Annotated[
        bool, Setting("Resume the run NAME if it was interrupted; if it is finished, only print its result.")
    ] = False
    as_json: Json = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume_or_skip and not self.name:
            raise SettingError("which run is to be resumed? Give its --name too")


def train(
    train_model: "Callable[..., FinishedRun]", kind: str, recipe: "Recipe", data: Sequence[str], settings: RunSettings
) -> None:
    """Trains a classifier or a detector by a recipe on data sets, and prints the result."""
    from training.data.dataset_mix import open_sources

    if settings.resume_or_skip and _resume_or_skip(settings):
        return
    name = settings.name or f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    specs = [_absolute(spec) for spec in data]

    def run(reporter: "RunReporter", world: "World") -> "FinishedRun":
        return train_model(open_sources(specs), recipe, name, settings.runs, reporter, specs, world)

    _carry_out(run, f"sign_{kind}", recipe.config.device, name, settings.runs, specs, settings.as_json)


def resume(name: str, runs: Path, as_json: bool, device: str = "") -> None:
    """Resumes an interrupted run, on its own device if none is given, and prints the result."""
    from training.kinds import resume_run
    from training.resume import load_interrupted

    def run(reporter: "RunReporter", world: "World") -> "FinishedRun":
        return resume_run(name, runs, reporter, world, device)

    found = load_interrupted(runs / name, device)
    _carry_out(run, found.model, found.recipe.config.device, name, runs, found.specs, as_json)


def _resume_or_skip(settings: RunSettings) -> bool:
    """Resumes a run, or prints the result of a finished one; returns False if there is no run of that name yet."""
    from training.checkpoint import load_info
    from training.resume import CHECKPOINT, SETTINGS

    folder = settings.runs / settings.name
    if (folder / SETTINGS).exists():
        resume(settings.name, settings.runs, settings.as_json)
        return True
    if not (folder / CHECKPOINT).exists():
        return False
    info = load_info(folder / CHECKPOINT)
    done = {"checkpoint": str(folder / CHECKPOINT), "run_id": info.run_id, "metrics": info.metrics}
    print_result(done, settings.as_json, f"done already: {folder / CHECKPOINT}")
    return True


def _carry_out(
    run: "Callable[[RunReporter, World], FinishedRun]",
    model: str,
    device: str,
    name: str,
    runs: Path,
    specs: Sequence[str],
    as_json: bool,
) -> None:
    """Trains in this process, or as one of several; the main one reports and records."""
    from traffic_signs.stage_metrics import StageResult, recorded_stage
    from training.device import joined_world

    with joined_world(device) as world, _reporting(name, runs, world.is_main) as reporter:
        stage = recorded_stage("train", model, reporter.notify) if world.is_main else nullcontext(StageResult())
        with stage as result:
            finished = run(reporter, world)
            if world.is_main:
                result.examples, result.figures = finished.examples, finished.metrics
                _print(finished, specs, as_json)


@contextmanager
def _reporting(name: str, runs: Path, is_main: bool) -> "Iterator[RunReporter]":
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
            yield RunReporter(progress, lambda notice: console.print(f"note: {notice}", soft_wrap=True))
    except KeyboardInterrupt:
        if (runs / name / SETTINGS).exists():
            typer.echo(f"signs: to resume this run: {how_to_resume(name, runs)}", err=True)
        raise


def _print(run: "FinishedRun", specs: Sequence[str], as_json: bool) -> None:
    from traffic_signs.classes import GERMAN_SIGNS
    from training.checkpoint import load_info

    if as_json:
        print_json({"checkpoint": str(run.checkpoint), "run_id": run.run_id, "metrics": run.metrics})
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
