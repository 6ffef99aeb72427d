"""The kinds of models that can be trained."""

from pathlib import Path

from training.classifier.runs import ClassifierTrainer
from training.detector.runs import DetectorTrainer
from training.device import World
from training.errors import TrainingError
from training.resume import load_interrupted
from training.runs import FinishedRun, RunReporter

TRAINERS = {trainer.model: trainer for trainer in (ClassifierTrainer, DetectorTrainer)}


def resume_run(
    name: str, runs: Path, reporter: RunReporter | None = None, world: World | None = None, device: str = ""
) -> FinishedRun:
    """Resumes an interrupted run of any kind; the result is the same as without the interruption.

    Args:
        device: in place of the run's own; empty keeps that.

    Raises:
        TrainingError: there is no such run, or a reason of `Trainer.train`.
    """
    model = load_interrupted(runs / name).model
    if model not in TRAINERS:
        raise TrainingError(f"the run {name!r} is of an unknown model {model!r}: this version knows {list(TRAINERS)}")
    return TRAINERS[model].resume(name, runs, reporter, world, device)
