"""An evaluation as files: figures for machines, pictures for people."""

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
    """Writes `evaluation.json` and pictures of it.

    evaluation.json goes first and comes last: where it is, the pictures beside it belong to it.

    Args:
        folder: takes confusion_matrix.png, recall.png, reliability.png and mistakes.png; made where it is missing.
        evaluation: of the crops.
        crops: what was classified.
        probabilities: [n, classes], the answers.
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
    """Returns the figures of an evaluation and its mistakes: which crop was taken for what, and how surely."""
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
