"""What differs in a training run of the classifier: crops, calibration and figures.

The logits of the held-out crops give the calibration temperature and the score below which a crop is answered as
unknown. Both are kept after a refit.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from training.classifier.calibration import fit_temperature, fit_unknown_threshold
from training.classifier.evaluate import Evaluation, evaluate
from training.classifier.report import write_evaluation
from training.classifier.task import Classification
from training.data.classes import common_classes
from training.data.crops import Crops
from training.data.dataset_mix import CropData, gather_crops
from training.errors import TrainingError
from training.folds import MIN_SOURCES_FOR_HOLDOUT, holdout_indices, sources_per_class
from training.models.classifier import MODEL_NAME, SignClassifier, predict_logits
from training.trainer import Trainer

INPUT_SIZE = 48  # pixels; GTSDB's signs have a median of 38


class ClassifierTrainer(Trainer[Crops, Tensor, Evaluation]):
    """A training run of the classifier; an answer is a row of logits, float32 [classes]."""

    model, score, input_size = MODEL_NAME, "accuracy", (INPUT_SIZE, INPUT_SIZE)
    data: CropData

    def _label_names(self) -> Sequence[str]:
        return common_classes(self.sources).names

    def _read(self) -> CropData:
        recipe, progress = self.recipe, self.run.reporter.progress
        return gather_crops(self.sources, INPUT_SIZE, recipe.config.seed, recipe.keep_leaked, progress)

    def _hold_out(self) -> npt.NDArray[np.int64]:
        held, problem = hold_out(self.data, self.recipe.holdout, self.recipe.config.seed)
        if problem and not len(held) and self.recipe.config.patience:
            raise TrainingError(f"{problem}, or leave out --patience, which needs held-out data")
        if problem:
            self.run.reporter.notify(problem)
        return held

    def _validation_pool(self) -> npt.NDArray[np.int64]:
        return validation_pool(self.data)

    def _task(self, examples: Crops, validation: Crops | None) -> Classification:
        return Classification(examples, validation)

    def _predict(self, model: nn.Module, examples: Crops) -> Tensor:
        return predict_logits(model, torch.from_numpy(examples.images))

    def _join(self, answers: Sequence[Tensor]) -> Tensor:
        return torch.stack(tuple(answers))

    def _evaluate(self, examples: Crops, answers: Tensor) -> Evaluation:
        return evaluate(answers.softmax(dim=1).numpy(), examples.class_ids, self.data.classes.names)

    def _validation_figures(self, examples: Crops, answers: Tensor) -> dict[str, float]:
        return {"accuracy": float((answers.argmax(dim=1).numpy() == examples.class_ids).mean())}

    def _calibrate(self, model: nn.Module, examples: Crops, answers: Tensor) -> dict[str, float]:
        assert isinstance(model, SignClassifier)
        temperature = fit_temperature(answers.numpy(), examples.class_ids)
        model.temperature.fill_(temperature)
        calibrated = (answers / temperature).softmax(dim=1).numpy()
        return {"temperature": temperature, "unknown_threshold": fit_unknown_threshold(calibrated)}

    def _write(self, folder: Path, examples: Crops, answers: Tensor, evaluation: Evaluation) -> None:
        write_evaluation(folder, evaluation, examples, answers.softmax(dim=1).numpy())


train_classifier = ClassifierTrainer.train


def validation_pool(data: CropData) -> npt.NDArray[np.int64]:
    """Returns the indices of the photographs, or of all crops if there are no photographs.

    Accuracy and temperature on drawings do not apply to photographs.
    """
    photographs = np.flatnonzero(~data.is_drawn)
    return photographs if len(photographs) else np.arange(len(data.train))


def hold_out(data: CropData, share: float, seed: int) -> tuple[npt.NDArray[np.int64], str]:
    """Chooses the training crops to hold out, among those that `validation_pool` returns.

    If no class has enough tracks or images for its share, each class with at least MIN_SOURCES_FOR_HOLDOUT of them
    loses one. Returns the indices of the crops, and a notice if classes are too small for the share; empty otherwise.
    """
    if not share:
        return np.empty(0, np.int64), ""
    candidates = validation_pool(data)
    crops = data.train.select(candidates)
    counts = sources_per_class(crops, len(data.classes))
    shown = [f"{name!r} with {count}" for name, count in zip(data.classes.names, counts, strict=True)]
    needed = math.ceil(1 / share)
    held, consequence = holdout_indices(crops, share, seed), "they are not held out"
    if not len(held):
        held = holdout_indices(crops, share, seed, one_each=True)
        consequence = (
            f"one of each with at least {MIN_SOURCES_FOR_HOLDOUT} is held out, so that the validation is rough and, "
            "without --folds, the calibration, too"
            if len(held)
            else "the training is not validated and, without --folds, its scores are not calibrated"
        )
    small = np.flatnonzero((counts > 0) & (counts < needed))
    if not len(small):
        return candidates[held], ""
    return candidates[held], (
        f"{len(small)} of {len(counts)} classes, such as {shown[small[counts[small].argmin()]]}, have fewer than the "
        f"{needed} tracks or images that --holdout {share:g} needs to hold one of them out: {consequence}. Give more "
        "data, or raise --holdout"
    )
