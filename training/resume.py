"""Runs that can be resumed: a run's settings and states lie in its folder until it is finished."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from traffic_signs.atomic_write import atomic_write
from training.errors import CheckpointError, TrainingError
from training.recipe import Recipe, TrainingConfig

SETTINGS, STATES, CHECKPOINT = "run.json", "states", "checkpoint"


@dataclass(frozen=True)
class Interrupted:
    """What `run.json` says: what is trained, the data sets as the command line gave them, the recipe, MLflow's run."""

    model: str
    specs: tuple[str, ...]
    recipe: Recipe
    run_id: str


def check_name(name: str, runs: Path) -> None:
    """Raises TrainingError where `name` cannot name a new run in the folder `runs`, or nothing can be written there."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise TrainingError(f"{name!r} cannot name a run: use letters, digits, '.', '-' and '_'")
    if (runs / name / SETTINGS).exists():
        raise TrainingError(
            f"the run {name!r} in {runs} was interrupted: `{how_to_resume(name, runs)}` goes on with it; or choose "
            "another --name"
        )
    if (runs / name / CHECKPOINT).exists():
        raise TrainingError(f"there is a run {name!r} in {runs} already: choose another --name")
    there = next(folder for folder in (runs / name, *(runs / name).absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise TrainingError(f"nothing can be written into {there}: check its rights, or choose another folder --runs")


def how_to_resume(name: str, runs: Path) -> str:
    """Returns the command that goes on with a run."""
    elsewhere = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
    return f"signs train resume {name}{elsewhere}"


def save_interrupted(folder: Path, model: str, specs: Sequence[str], recipe: Recipe, run_id: str) -> None:
    """Writes the settings of a run that begins.

    Raises:
        CheckpointError: they cannot be written.
    """
    path = folder / SETTINGS
    content = {"model": model, "specs": list(specs), "recipe": asdict(recipe), "run_id": run_id}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as staging:
            staging.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise CheckpointError(f"cannot write {path} ({error.strerror}): check its rights and the free space") from error


def load_interrupted(folder: Path) -> Interrupted:
    """Reads the settings of an interrupted run, which may have its checkpoint already: it was then not yet registered.

    Raises:
        TrainingError: there is no such run, it is finished, or its settings are damaged.
    """
    path = folder / SETTINGS
    if not path.is_file():
        if (folder / CHECKPOINT).exists():
            raise TrainingError(f"the run {folder.name!r} is finished: its checkpoint is {folder / CHECKPOINT}")
        raise TrainingError(
            f"there is no interrupted run {folder.name!r} in {folder.parent}: start one with `signs train classifier`"
        )
    try:
        content = json.loads(path.read_text())
        config = TrainingConfig(**content["recipe"].pop("config"))
        recipe = Recipe(config=config, **content["recipe"])
        return Interrupted(content["model"], tuple(content["specs"]), recipe, content["run_id"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise TrainingError(f"{path} cannot be used ({error}): remove {folder} and start again") from error


def state_file(folder: Path, stage: str) -> Path:
    """Returns where the state of one stage of a run lies."""
    return folder / STATES / f"{stage.replace(' ', '-')}.safetensors"


def forget_interrupted(folder: Path) -> None:
    """Removes what only an unfinished run needs."""
    (folder / SETTINGS).unlink(missing_ok=True)  # first: without its states a run would be trained anew
    shutil.rmtree(folder / STATES, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
