"""`signs robustness`: a model on corrupted pictures, and a classifier on what is no sign it knows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traffic_sign_client.errors import ClientError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from export.evaluation.model_ref import ModelRef
    from traffic_signs.progress import ProgressCallback
    from training.data.records import Dataset, Split

    Pixels = npt.NDArray[np.uint8]

SURE = 0.9  # a score that people act on
OTHERS = 2000  # drawn signs of none of the 43 classes
SEED = 0


def robustness(
    model: Annotated[
        Path, typer.Argument(help="A checkpoint (PyTorch), or a version's folder or .onnx file (ONNX Runtime).")
    ],
    data: Annotated[
        str, typer.Option(help="gtsdb=PATH, or of a classifier gtsrb=PATH: a folder or zip.", show_default=False)
    ],
    background: Annotated[
        str,
        typer.Option(help="gtsdb=PATH: show a classifier crops without a sign, too.", show_default=False),
    ] = "",
    unknown_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Class score below which a sign is unknown.", show_default="that of the classifier"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    limit: Annotated[int, typer.Option(min=0, help="Pictures of each kind to take, evenly chosen; 0: all.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for robustness.json, robustness.md and robustness.png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a classifier or a detector on corrupted pictures: nine corruptions, five strengths of each.

    Of a classifier the figure is the accuracy, of a detector the mAP50 of the benchmark's three categories. A
    classifier is also shown drawings of German signs that it does not know, and with --background crops of scenes
    without a sign: how often it names them with a score above 0.9, and how often the unknown threshold catches them.

    \b
    signs robustness model_repository/sign_classifier/1 --data gtsrb=GTSRB --output runs/robustness
    signs robustness runs/gtsrb/checkpoint --data gtsrb=GTSRB --background gtsdb=FullIJCNN2013.zip
    signs robustness model_repository/sign_detector/1 --data gtsdb=FullIJCNN2013.zip --limit 60
    """
    from rich.console import Console

    from traffic_signs.progress import progress_bars
    from training.data.records import SPLITS

    splits = {str(each): each for each in SPLITS}
    if split not in splits:
        raise typer.BadParameter(f"{split!r}: choose test or train", param_hint="--split")
    console = Console(stderr=True)
    with progress_bars(console) as progress:
        figures = measure_robustness(model, data, background, unknown_threshold, splits[split], limit, progress, output)
    typer.echo(json.dumps(figures) if as_json else as_markdown(figures), nl=as_json)
    if output is not None and not as_json:
        typer.echo(f"look: {output}")


def measure_robustness(
    model: Path,
    data: str,
    background: str,
    unknown_threshold: float | None,
    split: "Split",
    limit: int,
    progress: "ProgressCallback",
    output: Path | None = None,
) -> dict[str, Any]:
    """Lets a model answer on corrupted pictures of a split.

    Args:
        model: checkpoint, version folder or ONNX file, of a classifier or a detector.
        data: of one data set, as `training.data.load.load_data` takes it.
        background: likewise, of scenes; empty for none.
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
    from export.evaluation.model_ref import CLASSIFIER, DETECTOR, ModelRef
    from training.data.load import load_data

    judged, dataset = ModelRef(model), load_data(data)
    kind = judged.kind()
    if kind not in (CLASSIFIER, DETECTOR):
        raise ClientError(f"{model} is a {kind}: give a {CLASSIFIER} or a {DETECTOR}")
    if kind == DETECTOR and (background or unknown_threshold is not None):
        raise ClientError("--background and --unknown-threshold are for a classifier: leave them out")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    facts = {"model": kind, "data": dataset.name, "split": split}
    if kind == DETECTOR:
        figures = facts | _measure_scenes(judged, dataset, split, limit, progress)
    else:
        scenes = load_data(background) if background else None
        if scenes is not None and not scenes.has_scenes:
            raise ClientError(f"{scenes.name} has no street scenes: give --background gtsdb=PATH")
        figures = facts | _measure_crops(judged, dataset, split, limit, scenes, unknown_threshold, progress)
    if output is not None:
        _write(output, figures)
    return figures


def _measure_crops(
    judged: "ModelRef",
    dataset: "Dataset",
    split: "Split",
    limit: int,
    background: "Dataset | None",
    threshold: float | None,
    progress: "ProgressCallback",
) -> dict[str, Any]:
    from export.evaluation.model_ref import metrics_of
    from export.evaluation.run import predict_all
    from training.data.crops import cut_crops

    opened = judged.open_classifier()
    side = opened.size[0]
    crops = cut_crops(dataset, split, side, lambda *counts: progress("reading images", *counts))
    crops = crops.select(_chosen(len(crops), limit))

    def accuracy(images: "Pixels") -> float:
        return float((predict_all(opened.run, images).argmax(axis=1) == crops.class_ids).mean())

    figures = {"backend": opened.backend, "samples": len(crops), "measure": "accuracy"}
    figures |= _over_corruptions(crops.images, accuracy, progress)
    if threshold is None:
        assert judged.path is not None
        threshold = metrics_of(judged.path).get("unknown_threshold")

    def answer(images: "Pixels") -> "npt.NDArray[np.float32]":
        return predict_all(opened.run, images)

    figures["unknown"] = _measure_unknown(answer, crops.images, limit, background, split, threshold, progress)
    return figures


def _measure_scenes(
    judged: "ModelRef", dataset: "Dataset", split: "Split", limit: int, progress: "ProgressCallback"
) -> dict[str, Any]:
    import numpy as np
    from PIL import Image

    from export.evaluation.scenes import in_process
    from traffic_signs.categories import CATEGORY_NAMES
    from training.detector.evaluate import evaluate_detections
    from training.detector.scenes import load_scenes
    from training.detector.task import labelled

    if not dataset.has_scenes:
        raise ClientError(f"{dataset.name} has no street scenes: measure a detector on gtsdb=PATH")
    detector = judged.open_detector()
    find = in_process(detector, None)
    scenes = load_scenes(dataset, split, lambda *counts: progress("reading scenes", *counts))
    scenes = scenes.select(_chosen(len(scenes), limit))
    if len({image.shape for image in scenes.images}) != 1:
        raise ClientError(f"the scenes of {dataset.name} differ in size: give gtsdb=PATH")
    truth = labelled(scenes)

    def average_precision(images: "Pixels") -> float:
        found = [find(Image.fromarray(image), b"").signs for image in images]
        return evaluate_detections(truth, found, CATEGORY_NAMES).metrics()["map50_benchmark"]

    figures = {"backend": detector.backend, "samples": len(scenes), "measure": "mAP50"}
    return figures | _over_corruptions(np.stack(scenes.images), average_precision, progress)


def _over_corruptions(
    images: "Pixels", measure: "Callable[[Pixels], float]", progress: "ProgressCallback"
) -> dict[str, Any]:
    import numpy as np

    from training.corruptions import CORRUPTIONS, STRENGTHS, Corruption

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
    answer: "Callable[[Pixels], npt.NDArray[np.float32]]",
    known: "Pixels",
    limit: int,
    background: "Dataset | None",
    split: "Split",
    threshold: float | None,
    progress: "ProgressCallback",
) -> dict[str, Any]:
    """Shows a classifier pictures of several kinds.

    Returns:
        `threshold`, and by kind of picture `samples`, `named_surely`, the share with a score above SURE, and `unknown`,
        the share with one below `threshold`.
    """
    from training.data.background import cut_background
    from training.data.synthetic_crops import draw_others

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


def _chosen(count: int, limit: int) -> "npt.NDArray[np.int64]":
    """Returns indices of `limit` of `count` samples, evenly apart; all for 0."""
    import numpy as np

    wanted = min(limit, count) if limit else count
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)


def as_markdown(figures: dict[str, Any]) -> str:
    """Returns the tables of a model card."""
    from training.corruptions import STRENGTHS

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
    from traffic_signs.atomic_write import atomic_write
    from training.plots import draw_robustness

    draw_robustness(figures["clean"], figures["corruptions"], figures["measure"], output / "robustness.png")
    for name, text in (
        ("robustness.md", as_markdown(figures)),
        ("robustness.json", json.dumps(figures, indent=2) + "\n"),
    ):
        with atomic_write(output / name) as staging:
            staging.write_text(text)
