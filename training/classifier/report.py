"""Writes the evaluation of a classifier to files: figures as JSON, and plots."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.classifier.evaluate import Evaluation
from training.classifier.plots import draw_confusion_matrix, draw_mistakes, draw_recall, draw_reliability
from training.data.crops import Crops
from training.report import write_report

SHOWN_MISTAKES = 40


def write_evaluation(
    folder: Path, evaluation: Evaluation, crops: Crops, probabilities: npt.NDArray[np.float32]
) -> None:
    """Writes evaluation.json, confusion_matrix.png, recall.png, reliability.png and mistakes.png.

    The `probabilities` are float32 [n, classes].
    """
    names = evaluation.class_names
    worst = evaluation.mistakes[:SHOWN_MISTAKES]
    captions = [
        (
            f"is {names[crops.class_ids[index]]}",
            f"taken for {names[probabilities[index].argmax()]}\n{probabilities[index].max():.0%} sure",
        )
        for index in worst
    ]
    pictures: dict[str, Callable[[Path], None]] = {
        "confusion_matrix.png": partial(draw_confusion_matrix, evaluation.confusion, names),
        "recall.png": partial(draw_recall, evaluation.recall, evaluation.confusion.sum(axis=1), names),
        "reliability.png": partial(draw_reliability, evaluation.reliability),
        "mistakes.png": partial(draw_mistakes, crops.images[worst], captions),
    }
    write_report(folder / "evaluation.json", all_figures(evaluation, crops, probabilities), pictures)


def all_figures(evaluation: Evaluation, crops: Crops, probabilities: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Returns the figures of an evaluation, and each mistake with its crop, predicted class and score."""
    mistakes = [
        {
            "source": crops.sources[index],
            "class_id": int(crops.class_ids[index]),
            "predicted": int(probabilities[index].argmax()),
            "score": round(float(probabilities[index].max()), 6),
        }
        for index in evaluation.mistakes.tolist()
    ]
    return {**evaluation.as_dict(), "mistakes": mistakes}
