"""Writes the evaluation of a classifier to files: figures as JSON, and plots."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from traffic_signs.atomic_write import atomic_write
from training.classifier.evaluate import Evaluation
from training.classifier.plots import draw_confusion_matrix, draw_mistakes, draw_recall, draw_reliability
from training.data.crops import Crops

SHOWN_MISTAKES = 40


def write_evaluation(
    folder: Path, evaluation: Evaluation, crops: Crops, probabilities: npt.NDArray[np.float32]
) -> None:
    """Writes `evaluation.json`, confusion_matrix.png, recall.png, reliability.png and mistakes.png.

    An old evaluation.json is removed first and the new one is written last: if it exists, the plots belong to it.

    Args:
        folder: folder for the files; created if missing.
        evaluation: evaluation of the crops.
        crops: the classified crops.
        probabilities: float32 [n, classes], the predictions.
    """
    facts, names = folder / "evaluation.json", evaluation.class_names
    facts.unlink(missing_ok=True)
    draw_confusion_matrix(evaluation.confusion, names, folder / "confusion_matrix.png")
    draw_recall(evaluation.recall, evaluation.confusion.sum(axis=1), names, folder / "recall.png")
    draw_reliability(evaluation.reliability, folder / "reliability.png")
    worst = evaluation.mistakes[:SHOWN_MISTAKES]
    captions = [
        (
            f"is {names[crops.class_ids[index]]}",
            f"taken for {names[probabilities[index].argmax()]}\n{probabilities[index].max():.0%} sure",
        )
        for index in worst
    ]
    draw_mistakes(crops.images[worst], captions, folder / "mistakes.png")
    figures = all_figures(evaluation, crops, probabilities)
    with atomic_write(facts) as staging:
        staging.write_text(json.dumps(figures, indent=2) + "\n")


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
