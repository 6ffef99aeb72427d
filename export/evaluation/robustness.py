"""A model on corrupted pictures, and a classifier on what is no sign that it knows: figures, tables and a picture."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.evaluation.model_ref import CLASSIFIER, DETECTOR, ModelRef, metrics_of
from export.evaluation.run import predict_all
from export.evaluation.scenes import in_process
from traffic_sign_client.errors import ClientError
from traffic_signs.atomic_write import atomic_write
from traffic_signs.progress import ProgressCallback
from training.corruptions import CORRUPTIONS, STRENGTHS, Corruption
from training.data.background import cut_background
from training.data.crops import cut_crops
from training.data.load import load_data
from training.data.records import Dataset, Split
from training.data.synthetic_crops import draw_others
from training.detector.evaluate import evaluate_detections
from training.detector.scenes import load_scenes
from training.detector.task import labelled
from training.plots import draw_robustness

Pixels = npt.NDArray[np.uint8]

SURE = 0.9  # a score that people act on
OTHERS = 2000  # drawn German signs that GTSRB has none of
SEED = 0


def measure_robustness(
    model: Path,
    data: str,
    background: str,
    unknown_threshold: float | None,
    split: Split,
    limit: int,
    progress: ProgressCallback,
    output: Path | None = None,
) -> dict[str, Any]:
    """Lets a model answer on corrupted pictures of a split.

    Args:
        model: checkpoint, version folder or ONNX file, of a classifier or a detector.
        data: of one data set, as `training.data.load.load_data` takes it.
        background: of another data set, of scenes; empty for none.
        unknown_threshold: class score below which a sign is unknown; None takes what the model's training calibrated.
        split: of the data.
        limit: how many pictures of each kind to take; 0 takes all, and 2,000 drawings.
        progress: shows how much is done.
        output: folder for the figures, a table and a picture, or None.

    Returns:
        `model`, `backend`, `data`, `split`, `samples`, `measure`, `clean`, `corruptions` (a list of a figure for each
        strength, by name), `mean` over all of these; and of a classifier `unknown`, see `_measure_unknown`.

    Raises:
        ClientError: the model cannot be opened, or the data or options do not fit it.
        training.errors.DataError: the data cannot be used.
    """
    reference, dataset = ModelRef(model), load_data(data)
    kind = reference.kind()
    if kind not in (CLASSIFIER, DETECTOR):
        raise ClientError(f"{model} is a {kind}: give a {CLASSIFIER} or a {DETECTOR}")
    if kind == DETECTOR and (background or unknown_threshold is not None):
        raise ClientError("--background and --unknown-threshold are for a classifier: leave them out")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    facts = {"model": kind, "data": dataset.name, "split": split}
    if kind == DETECTOR:
        figures = facts | _measure_scenes(reference, dataset, split, limit, progress)
    else:
        scenes = load_data(background) if background else None
        if scenes is not None and not scenes.has_scenes:
            raise ClientError(f"{scenes.name} has no street scenes: give --background gtsdb=PATH")
        figures = facts | _measure_crops(reference, dataset, split, limit, scenes, unknown_threshold, progress)
    if output is not None:
        _write(output, figures)
    return figures


def _measure_crops(
    reference: ModelRef,
    dataset: Dataset,
    split: Split,
    limit: int,
    background: Dataset | None,
    threshold: float | None,
    progress: ProgressCallback,
) -> dict[str, Any]:
    opened = reference.open_classifier()
    side = opened.size[0]
    crops = cut_crops(dataset, split, side, lambda *counts: progress("reading images", *counts))
    crops = crops.select(_chosen(len(crops), limit))

    def accuracy(images: Pixels) -> float:
        return float((predict_all(opened.run, images).argmax(axis=1) == crops.class_ids).mean())

    figures = {"backend": opened.backend, "samples": len(crops), "measure": "accuracy"}
    figures |= _over_corruptions(crops.images, accuracy, progress)
    if threshold is None:
        assert reference.path is not None
        threshold = metrics_of(reference.path).get("unknown_threshold")

    def answer(images: Pixels) -> npt.NDArray[np.float32]:
        return predict_all(opened.run, images)

    figures["unknown"] = _measure_unknown(answer, crops.images, limit, background, split, threshold, progress)
    return figures


def _measure_scenes(
    reference: ModelRef, dataset: Dataset, split: Split, limit: int, progress: ProgressCallback
) -> dict[str, Any]:
    if not dataset.has_scenes:
        raise ClientError(f"{dataset.name} has no street scenes: measure a detector on gtsdb=PATH")
    detector = reference.open_detector()
    find = in_process(detector, None)
    scenes = load_scenes(dataset, split, lambda *counts: progress("reading scenes", *counts))
    scenes = scenes.select(_chosen(len(scenes), limit))
    if len({image.shape for image in scenes.images}) != 1:
        raise ClientError(f"the scenes of {dataset.name} differ in size: give gtsdb=PATH")
    truth = labelled(scenes)

    def average_precision(images: Pixels) -> float:
        found = [find(Image.fromarray(image), b"").signs for image in images]
        figures = evaluate_detections(truth, found, scenes.classes.category_names).metrics()
        return figures.get("map50_benchmark", figures["map50"])

    figures = {"backend": detector.backend, "samples": len(scenes), "measure": "mAP50"}
    return figures | _over_corruptions(np.stack(scenes.images), average_precision, progress)


def _over_corruptions(images: Pixels, measure: Callable[[Pixels], float], progress: ProgressCallback) -> dict[str, Any]:
    total = len(CORRUPTIONS) * len(STRENGTHS)
    clean = measure(images)
    corrupted: dict[str, list[float]] = {}
    for number, name in enumerate(CORRUPTIONS):
        corrupted[name] = []
        for strength in STRENGTHS:
            corruption = Corruption(name, strength, images.shape[1:3])
            altered = np.stack([corruption(image, index) for index, image in enumerate(images)])
            corrupted[name].append(measure(altered))
            progress("corrupting and measuring", number * len(STRENGTHS) + strength, total)
    mean = float(np.mean([value for values in corrupted.values() for value in values]))
    return {"clean": clean, "mean": mean, "corruptions": corrupted}


def _measure_unknown(
    answer: Callable[[Pixels], npt.NDArray[np.float32]],
    known: Pixels,
    limit: int,
    background: Dataset | None,
    split: Split,
    threshold: float | None,
    progress: ProgressCallback,
) -> dict[str, Any]:
    """Shows a classifier pictures of several kinds.

    Returns:
        `threshold`, and by kind of picture `samples`, `named_surely`, the share with a score above SURE, and `unknown`,
        the share with one below `threshold`.
    """
    side = known.shape[1]
    drawn = draw_others(limit or OTHERS, side, SEED, lambda *counts: progress("drawing other signs", *counts))
    pictures = {"known signs": known, "drawn other signs": drawn}
    if background is not None:
        cut = cut_background(background, split, side, SEED, lambda *counts: progress("reading background", *counts))
        pictures["background"] = cut[_chosen(len(cut), limit)]
    kinds = {}
    for name, images in pictures.items():
        scores = answer(images).max(axis=1)
        kinds[name] = {
            "samples": len(images),
            "named_surely": float((scores > SURE).mean()),
            "unknown": None if threshold is None else float((scores < threshold).mean()),
        }
    return {"threshold": threshold, "kinds": kinds}


def _chosen(count: int, limit: int) -> npt.NDArray[np.int64]:
    """Returns indices of `limit` of `count` samples, evenly apart; all for 0."""
    wanted = min(limit, count) if limit else count
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)


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
            lines.append(f"| {name} | {each['samples']} | {each['named_surely']:.2%} | {share} |")
    return "\n".join(lines) + "\n"


def _write(output: Path, figures: dict[str, Any]) -> None:
    draw_robustness(figures["clean"], figures["corruptions"], figures["measure"], output / "robustness.png")
    for name, text in (
        ("robustness.md", as_markdown(figures)),
        ("robustness.json", json.dumps(figures, indent=2) + "\n"),
    ):
        with atomic_write(output / name) as staging:
            staging.write_text(text)
