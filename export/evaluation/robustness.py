"""Robustness: a model on corrupted pictures, and a classifier on unknown signs and background."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.arrays import Images, spread
from export.evaluation.model_ref import ModelRef, metrics_of
from export.evaluation.run import require_classes
from export.evaluation.settings import RobustnessRequest
from export.kinds import find_kind
from export.kinds.classifier import finite_probabilities
from export.model_kind import Rating
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import write_whole
from traffic_signs.classes import GERMAN_SIGNS
from traffic_signs.progress import ProgressCallback
from training.corruptions import CORRUPTIONS, STRENGTHS, Corruption
from training.data.crops import cut_background
from training.data.load import load_data
from training.data.records import Dataset, Split
from training.data.synthetic_crops import draw_others
from training.plots import draw_robustness

SURE = 0.9  # a score that is acted on
OTHERS = 2000  # drawn German signs that GTSRB lacks; own classes may include them
SEED = 0


def measure_robustness(request: RobustnessRequest, progress: ProgressCallback) -> dict[str, Any]:
    """Measures a model on corrupted pictures of a split.

    Returns:
        `model`, `backend`, `data`, `split`, `samples`, `measure`, `clean`, `corruptions` (a list of a figure for each
        strength, by name), `mean` over all of these; and of a classifier `unknown`, see `_count_unknown`, and with a
        threshold `unknown_by_strength`, the shares of known signs below it with corruptions, each the mean of all.

    Raises:
        ClientError: the model cannot be opened, or the data or options do not fit it.
        training.errors.DataError: the data cannot be used.
    """
    background, unknown_threshold, output = request.background, request.unknown_threshold, request.output
    split, limit = request.split, request.limit
    reference, dataset = ModelRef(request.model), load_data(request.data)
    name = reference.kind()
    kind = find_kind(name)
    if kind.takes_scenes and (background or unknown_threshold is not None):
        raise ClientError("--background and --unknown-threshold are for a classifier: leave them out")
    scenes = load_data(background) if background else None
    if scenes is not None and not scenes.has_scenes:
        raise ClientError(f"{scenes.name} has no street scenes: give --background gtsdb=PATH")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    network = reference.open()
    require_classes(network, dataset)
    images, measure, rate = kind.rated_images(network, dataset, split, limit, progress)
    clean = rate(images)
    figures: dict[str, Any] = {"model": name, "data": dataset.name, "split": split, "backend": network.backend}
    figures |= {"samples": len(images), "measure": measure, "clean": clean.figure}
    if clean.scores is not None:
        if unknown_threshold is None:
            unknown_threshold = metrics_of(request.model).get("unknown_threshold")
        has_others = dataset.classes == GERMAN_SIGNS
        pictures = _unknown_pictures(images.shape[1], has_others, scenes, split, limit, progress)
        scores = {what: finite_probabilities(network(shown)).max(axis=1) for what, shown in pictures.items()}
        figures["unknown"] = _count_unknown({"known signs": clean.scores} | scores, unknown_threshold)
    figures |= _over_corruptions(images, rate, unknown_threshold, progress)
    if output is not None:
        _write(output, figures)
    return figures


def _unknown_pictures(
    size: int, has_others: bool, scenes: Dataset | None, split: Split, limit: int, progress: ProgressCallback
) -> dict[str, Images]:
    """Returns pictures that show no sign of the classifier's, uint8 [n, size, size, 3] of each kind."""
    pictures = {}
    if has_others:
        drawn = draw_others(limit or OTHERS, size, SEED, partial(progress, "drawing other signs"))
        pictures["drawn other signs"] = drawn
    if scenes is not None:
        cut = cut_background(scenes, split, size, SEED, partial(progress, "reading background"))
        pictures["background"] = cut[spread(len(cut), limit)]
    return pictures


def _over_corruptions(
    images: Images, rate: Callable[[Images], Rating], threshold: float | None, progress: ProgressCallback
) -> dict[str, Any]:
    total = len(CORRUPTIONS) * len(STRENGTHS)
    corrupted: dict[str, list[float]] = {name: [] for name in CORRUPTIONS}
    unknown = np.zeros(len(STRENGTHS))
    for number, (name, rated) in enumerate(corrupted.items()):
        for position, strength in enumerate(STRENGTHS):
            corruption = Corruption(name, strength, images.shape[1:3])
            rating = rate(np.stack([corruption(image, index) for index, image in enumerate(images)]))
            rated.append(rating.figure)
            if rating.scores is not None and threshold is not None:
                unknown[position] += (rating.scores < threshold).mean() / len(CORRUPTIONS)
            progress("corrupting and measuring", number * len(STRENGTHS) + strength, total)
    figures = {"mean": float(np.mean(list(corrupted.values()))), "corruptions": corrupted}
    return figures | ({} if threshold is None else {"unknown_by_strength": unknown.tolist()})


def _count_unknown(scores: Mapping[str, npt.NDArray[np.float32]], threshold: float | None) -> dict[str, Any]:
    """Compares the highest class scores of pictures, float32 [n] of each kind, with SURE and the threshold.

    Returns:
        `threshold`, and by kind of picture `samples`, `named_above_0_9`, the share with a score above SURE, and
        `unknown`, the share with one below `threshold`.
    """
    kinds = {}
    for name, highest in scores.items():
        kinds[name] = {
            "samples": len(highest),
            "named_above_0_9": float((highest > SURE).mean()),
            "unknown": None if threshold is None else float((highest < threshold).mean()),
        }
    return {"threshold": threshold, "kinds": kinds}


def as_markdown(figures: dict[str, Any]) -> str:
    """Returns the tables of a model card."""
    lines = [
        f"{figures['measure']} on {figures['samples']} samples of {figures['data']}, {figures['split']} split, "
        f"{figures['backend']}: {figures['clean']:.2%}; mean of all corruptions {figures['mean']:.2%}",
        "",
        "| corruption | " + " | ".join(str(strength) for strength in STRENGTHS) + " |",
        "| --- |" + " ---: |" * len(STRENGTHS),
    ]
    for name, values in figures["corruptions"].items():
        lines.append(f"| {name} | " + " | ".join(f"{value:.1%}" for value in values) + " |")
    if "unknown_by_strength" in figures:
        shares = " | ".join(f"{share:.1%}" for share in figures["unknown_by_strength"])
        lines.append(f"| answered as unknown, mean | {shares} |")
    if "unknown" in figures:
        threshold = figures["unknown"]["threshold"]
        below = "unknown" if threshold is None else f"unknown, below {threshold:g}"
        lines += [
            "",
            f"| shown | pictures | named with a score above {SURE} | {below} |",
            "| --- | ---: | ---: | ---: |",
        ]
        for name, each in figures["unknown"]["kinds"].items():
            share = "no threshold" if each["unknown"] is None else f"{each['unknown']:.2%}"
            lines.append(f"| {name} | {each['samples']} | {each['named_above_0_9']:.2%} | {share} |")
    return "\n".join(lines) + "\n"


def _write(output: Path, figures: dict[str, Any]) -> None:
    draw_robustness(figures["clean"], figures["corruptions"], figures["measure"], output / "robustness.png")
    for name, text in (
        ("robustness.md", as_markdown(figures)),
        ("robustness.json", json.dumps(figures, indent=2) + "\n"),
    ):
        write_whole(output / name, text)
