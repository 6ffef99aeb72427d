"""Scenes written as short lists, and a second, plain way to the figures."""

from collections.abc import Sequence

import numpy as np

from training.detector.detections import Detections, overlaps

Box = tuple[float, float, float, float]


def signs(*labelled: tuple[Box, int]) -> Detections:
    """Returns the labelled signs of a scene: box and label of each."""
    return detections(*((box, 1.0, label) for box, label in labelled))


def detections(*found: tuple[Box, float, int]) -> Detections:
    """Returns the detections in a scene: box, score and label of each."""
    return Detections(
        np.array([box for box, _, _ in found], dtype=np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], dtype=np.float32),
        np.array([label for _, _, label in found], dtype=np.int64),
    )


def random_scenes(seed: int, count: int = 30, labels: int = 4) -> tuple[list[Detections], list[Detections]]:
    """Returns labelled signs and a careless detector's answers; all scores differ."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(count):
        corners = rng.integers(0, 800, (rng.integers(0, 4), 2))
        boxes = np.hstack([corners, corners + rng.integers(16, 128, (len(corners), 1))]).astype(np.float32)
        kinds = rng.integers(0, labels, len(boxes))
        truth.append(Detections(boxes, np.ones(len(boxes), np.float32), kinds))
        copies = rng.integers(0, 3, len(boxes))
        strays = rng.integers(0, 800, (rng.integers(0, 4), 2))
        guesses = np.vstack([boxes.repeat(copies, axis=0), np.hstack([strays, strays + 40])]).astype(np.float32)
        sides = (guesses[:, 2:3] - guesses[:, 0:1]) * 0.08
        guesses += (rng.normal(size=guesses.shape) * sides).astype(np.float32)
        answers = np.concatenate([kinds.repeat(copies), rng.integers(0, labels, len(strays))])
        answers = np.where(rng.random(len(answers)) < 0.1, rng.integers(0, labels, len(answers)), answers)
        scores = rng.random(len(guesses)).astype(np.float32)
        found.append(Detections(guesses, scores, answers.astype(np.int64)))
    return truth, found


def plain_average_precision(
    truth: Sequence[Detections], found: Sequence[Detections], label: int, iou: float
) -> tuple[float, float]:
    """Returns COCO's average precision and the area under the curve, by the definitions and loops.

    Scores must differ.
    """
    total = sum(int((scene.labels == label).sum()) for scene in truth)
    ranked = sorted(
        (
            (-float(scene.scores[index]), position, index)
            for position, scene in enumerate(found)
            for index in np.flatnonzero(scene.labels == label)
        ),
    )
    taken: set[tuple[int, int]] = set()
    points: list[tuple[float, float]] = []  # recall, precision
    for rank, (_, position, index) in enumerate(ranked, start=1):
        shared = overlaps(found[position].boxes[[index]], truth[position].boxes)[0]
        free = [
            sign
            for sign in range(len(shared))
            if truth[position].labels[sign] == label and (position, sign) not in taken and shared[sign] >= iou
        ]
        if free:
            taken.add((position, max(free, key=lambda sign: float(shared[sign]))))
        points.append((len(taken) / total, len(taken) / rank))
    sampled = [max((p for r, p in points if r >= level), default=0.0) for level in np.linspace(0, 1, 101)]
    steps = [max((p for r, p in points if r >= hit / total), default=0.0) for hit in range(1, total + 1)]
    return float(np.mean(sampled)), float(np.mean(steps))
