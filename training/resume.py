"""Interrupted runs: a run keeps its settings and states in its folder until it is finished."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from traffic_signs.atomic_write import write_whole
from training.errors import CheckpointError, TrainingError
from training.recipe import Recipe, TrainingConfig

SETTINGS, STATES, CHECKPOINT = "run.json", "states", "checkpoint"


@dataclass(frozen=True)
class Interrupted:
    """The content of `run.json`: model, data sets as given on the command line, recipe and MLflow's run id."""

    model: str
    specs: tuple[str, ...]
    recipe: Recipe
    run_id: str


def check_name(name: str, runs: Path) -> None:
    """Raises TrainingError if `name` is invalid or taken in the folder `runs`, or the folder is not writable."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise TrainingError(f"{name!r} cannot name a run: use letters, digits, '.', '-' and '_'")
    if (runs / name / SETTINGS).exists():
        raise TrainingError(
            f"the run {name!r} in {runs} was interrupted: `{how_to_resume(name, runs)}` resumes it; or choose "
            "another --name"
        )
    if (runs / name / CHECKPOINT).exists():
        raise TrainingError(f"there is a run {name!r} in {runs} already: choose another --name")
    there = next(folder for folder in (runs / name, *(runs / name).absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise TrainingError(f"nothing can be written into {there}: check its rights, or choose another folder --runs")


def how_to_resume(name: str, runs: Path) -> str:
    """Returns the command that resumes a run."""
    elsewhere = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
    return f"signs train resume {name}{elsewhere}"


def save_interrupted(folder: Path, model: str, specs: Sequence[str], recipe: Recipe, run_id: str) -> None:
    """Writes the settings of a new run; raises CheckpointError if the file cannot be written."""
    path = folder / SETTINGS
    content = {"model": model, "specs": list(specs), "recipe": asdict(recipe), "run_id": run_id}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise CheckpointError(f"cannot write {path} ({error.strerror}): check its rights and the free space") from error


def load_interrupted(folder: Path, device: str = "") -> Interrupted:
    """Reads the settings of an interrupted run; a run that has its checkpoint may still lack its registration.

    `device` replaces the run's own, unless it is empty. Raises TrainingError if there is no such run, it is finished,
    or its settings are damaged.
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
        config = content["recipe"].pop("config")
        config = TrainingConfig(**config | ({"device": device} if device else {}))
        recipe = Recipe(config=config, **content["recipe"])
        return Interrupted(content["model"], tuple(content["specs"]), recipe, content["run_id"])
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise TrainingError(f"{path} cannot be used ({error}): remove {folder} and start again") from error


def state_file(folder: Path, stage: str) -> Path:
    """Returns the state file of one stage of a run."""
    return folder / STATES / f"{stage.replace(' ', '-')}.safetensors"


def forget_interrupted(folder: Path) -> None:
    """Removes the settings and states of a finished run."""
    (folder / SETTINGS).unlink(missing_ok=True)  # first: without its states the run would start again
    shutil.rmtree(folder / STATES, ignore_errors=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
