"""The kinds of models that can be trained."""

from pathlib import Path

from training.classifier.runs import ClassifierTrainer
from training.data.dataset_mix import open_sources
from training.detector.runs import DetectorTrainer
from training.device import World
from training.errors import TrainingError
from training.resume import CHECKPOINT, load_interrupted
from training.runs import FinishedRun, Run, RunReporter

TRAINERS = {trainer.model: trainer for trainer in (ClassifierTrainer, DetectorTrainer)}


def resume_run(
    name: str, runs: Path, reporter: RunReporter | None = None, world: World | None = None, device: str = ""
) -> FinishedRun:
    """Resumes an interrupted run of any kind; on a CPU the result is the same as without the interruption.

    If only the registration of its checkpoint is missing, that alone is done. `device` replaces the run's own, unless
    it is empty. Raises TrainingError if there is no such run, or for a reason of `Trainer.train`.
    """
    folder = runs / name
    found = load_interrupted(folder, device)
    trainer = TRAINERS.get(found.model)
    if trainer is None:
        raise TrainingError(
            f"the run {name!r} is of an unknown model {found.model!r}: this version knows {list(TRAINERS)}"
        )
    reporter, world = reporter or RunReporter(), world or World()
    run = Run(trainer.model, trainer.score, found.recipe, folder, reporter, found.specs, world, found.run_id)
    if (folder / CHECKPOINT).exists():
        return run.register_late()
    return trainer(run, open_sources(found.specs)).carry_out()
