"""`signs evaluate`: how good a model is, in PyTorch, in ONNX Runtime or on a running server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traffic_sign_client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from export.evaluation.model_ref import ModelRef
    from training.data.records import Dataset

    Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

BATCH = 64


def evaluate(
    data: Annotated[
        str, typer.Option(help="gtsdb=PATH, gtsrb=PATH or feedback=PATH: a folder or zip.", show_default=False)
    ],
    model: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint (PyTorch), or a version's folder or .onnx file (ONNX Runtime)."),
    ] = None,
    url: Annotated[str, typer.Option(help="host:port of a running server, instead of MODEL.", show_default=False)] = "",
    protocol: Annotated[str, typer.Option(help="grpc or http, with --url.")] = "grpc",
    name: Annotated[
        str,
        typer.Option(
            help="Name of the model on the server, with --url.",
            show_default="for scenes sign_recognizer where it is served, else sign_classifier, else sign_detector",
        ),
    ] = "",
    version: Annotated[str, typer.Option(help="Its version, with --url.", show_default="the server's choice")] = "",
    classifier: Annotated[
        Path | None,
        typer.Option(help="Names what a detector MODEL finds: a checkpoint, a version's folder or an .onnx file."),
    ] = None,
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and pictures: confusion, recall, reliability, mistakes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Judge a classifier on labelled signs, or a detector or recognizer on whole scenes.

    Of a classifier: accuracy, recall of each class, calibration, the worst mistakes. Of what finds signs in scenes:
    average precision by category, by size and, where somebody names the signs, of the 43 classes. The same images go
    through PyTorch, ONNX Runtime or Triton, so the figures can be compared.

    \b
    signs evaluate runs/gtsrb/checkpoint --data gtsrb=GTSRB --output runs/evaluation
    signs evaluate model_repository/sign_classifier/1 --data gtsdb=FullIJCNN2013.zip
    signs evaluate --url localhost:8001 --data gtsrb=GTSRB --split test --json
    signs evaluate runs/detector/checkpoint --classifier runs/gtsdb/checkpoint --data gtsdb=FullIJCNN2013.zip
    signs evaluate runs/gtsrb/checkpoint --data feedback=feedback --split train
    """
    if (model is None) == (not url):
        raise ClientError("give either a checkpoint, version or .onnx file, or --url of a running server")
    if split not in ("train", "test"):
        raise typer.BadParameter(f"{split!r}: choose train or test", param_hint="--split")
    if protocol not in ("grpc", "http"):
        raise typer.BadParameter(f"{protocol!r}: choose grpc or http", param_hint="--protocol")
    figures = evaluate_model(model, data, split, output, url, protocol, name, version, classifier)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _print(figures, output)


def evaluate_model(
    model: Path | None,
    data: str,
    split: Any,
    output: Path | None,
    url: str = "",
    protocol: Any = "grpc",
    name: str = "",
    version: str = "",
    classifier: Path | None = None,
) -> dict[str, Any]:
    """Lets a model answer on a split, and compares the answers with the labels.

    Args:
        model: checkpoint, version folder or ONNX file; None for a server.
        data: of one data set, as `training.data.load.load_data` takes it.
        split: "train" or "test".
        output: folder for the figures and pictures, or None.
        url: of the server, likewise `protocol`, `name` and `version` of its model.
        classifier: what names the signs that a detector finds, like `model`.

    Returns:
        `model`, `backend`, `data`, `split`, `notices`; and of a classifier what
        `training.classifier.report.all_figures` gives, of all else what `export.evaluation.scenes.evaluate_scenes` does.

    Raises:
        ClientError: there is no such model, the server does not answer, or the data does not fit the model.
        training.errors.DataError: the data cannot be used.
    """
    from export.evaluation.model_ref import CLASSIFIER, DETECTOR, ModelRef, usual_model
    from training.data.load import load_data

    dataset = load_data(data)
    if model is None:
        name = name or usual_model(url, protocol, dataset.kind)
    judged = ModelRef(model, url, protocol, name, version)
    kind = judged.kind()
    if classifier is not None and kind != DETECTOR:
        raise ClientError(f"--classifier names what a detector finds, and this is a {kind}: leave it out")
    names = None if classifier is None else ModelRef(classifier)
    if names is not None and (other := names.kind()) != CLASSIFIER:
        raise ClientError(f"--classifier {classifier} is of a {other}: give one of a {CLASSIFIER}")
    if kind != CLASSIFIER and not dataset.has_scenes:
        raise ClientError(f"{dataset.name} has no street scenes: judge a {kind} on gtsdb=PATH")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # where it cannot be made, say so before the minutes of reading
    if kind == CLASSIFIER:
        backend, trained_on, figures = _on_crops(judged, dataset, split, output)
    else:
        backend, trained_on, figures = _on_scenes(judged, kind, names, dataset, split, output)
    notices = [*dataset.told(), *leaks(dataset.kind, split, trained_on)]
    return {
        "model": kind,
        "backend": backend,
        "data": dataset.name,
        "split": split,
        "notices": notices,
        **figures,
    }


def _on_crops(
    judged: "ModelRef", dataset: "Dataset", split: Any, output: Path | None
) -> tuple[str, "list[dict[str, str]]", dict[str, Any]]:
    """Judges a classifier; returns who answered, what is known of the training data, and the figures."""
    from rich.console import Console

    from traffic_signs.progress import progress_bars
    from training.classifier.evaluate import evaluate as compare
    from training.classifier.report import all_figures, write_evaluation
    from training.data.crops import cut_crops

    opened = judged.open_classifier()
    if opened.size[0] != opened.size[1]:
        raise ClientError(f"the classifier takes {opened.size[1]}x{opened.size[0]} pixels: sign crops are square")
    with progress_bars(Console(stderr=True)) as progress:
        crops = cut_crops(dataset, split, opened.size[0], lambda *counts: progress("reading images", *counts))
        probabilities = predict_all(opened.run, crops.images, lambda *counts: progress("classifying", *counts))
    evaluation = compare(probabilities, crops.class_ids)
    if output is not None:
        write_evaluation(output, evaluation, crops, probabilities)
    return opened.backend, [opened.trained_on], all_figures(evaluation, crops, probabilities)


def _on_scenes(
    judged: "ModelRef", kind: str, classifier: "ModelRef | None", dataset: "Dataset", split: Any, output: Path | None
) -> tuple[str, "list[dict[str, str]]", dict[str, Any]]:
    """Judges what finds signs, likewise."""
    from rich.console import Console

    from export.evaluation.model_ref import RECOGNIZER
    from export.evaluation.scenes import evaluate_scenes, in_process, served_recognizer
    from traffic_signs.progress import progress_bars

    backend, trained_on = f"triton_{judged.protocol}", []
    if kind == RECOGNIZER:
        find = served_recognizer(judged.url, judged.protocol, judged.name, judged.version)
    else:
        detector, names = judged.open_detector(), classifier.open_classifier() if classifier is not None else None
        backend, trained_on = detector.backend, [each.trained_on for each in (detector, names) if each is not None]
        find = in_process(detector, names)
    with progress_bars(Console(stderr=True)) as progress:
        return backend, trained_on, evaluate_scenes(find, dataset, split, output, progress)


def predict_all(
    predict: "Predict", images: "npt.NDArray[np.uint8]", progress: "Callable[[int, int], None] | None" = None
) -> "npt.NDArray[np.float32]":
    """Returns a classifier's answers to any number of crops, uint8 [n, size, size, 3]: float32 [n, classes]."""
    import numpy as np

    answers = []
    for start in range(0, len(images), BATCH):
        answers.append(predict(images[start : start + BATCH]))
        if progress is not None:
            progress(min(start + BATCH, len(images)), len(images))
    return np.concatenate(answers)


def leaks(kind: str, split: str, trained_on: "list[dict[str, str]]") -> list[str]:
    """Returns a warning where a model may have learned from the very signs it is judged on.

    Args:
        kind: of the data set that it is judged on.
        split: of that.
        trained_on: what is known of the training data, of each network that takes part.
    """
    learned = [{name.partition("=")[0] for name in data.get("name", "").split(", ")} for data in trained_on]
    if kind == "feedback" and learned and not any(names & {"", kind} for names in learned):
        return ["people send what went wrong: the figures are those of hard pictures, not of the street"]
    if split == "train":
        return ["these are training signs: the figures say what the model remembers, not what it can do"]
    for data, learned_from in zip(trained_on, learned, strict=True):
        others = sorted({"gtsdb", "gtsrb"} & learned_from - {kind}) or sorted({"feedback"} & learned_from)
        if others and kind not in data.get("free_of", "").split(","):
            shows = "may show" if others == ["feedback"] else "shows"
            return [f"it learned from {others[0].upper()}, which {shows} some of these signs: the figures may flatter"]
    return []


def _print(figures: dict[str, Any], output: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("data", f"{figures['data']}, {figures['split']} split")
    table.add_row("answered by", f"{figures['model']}, {figures['backend']}")
    for what, value in _crop_rows(figures) if "accuracy" in figures else _scene_rows(figures):
        table.add_row(what, value)
    console.print(table, highlight=False)
    for notice in figures["notices"]:
        console.print(f"note: {notice}", highlight=False, soft_wrap=True)
    if output is not None:
        console.print(f"look: {output}", highlight=False, soft_wrap=True)


def _crop_rows(figures: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    samples, wrong = figures["samples"], figures["wrong"]
    yield "accuracy", f"{figures['accuracy']:.2%}  ({samples - wrong} of {samples})"
    yield "mean recall of the classes", f"{figures['balanced_accuracy']:.2%}"
    yield "expected calibration error", f"{figures['ece']:.4f}"
    weakest = sorted((each for each in figures["classes"] if each["samples"]), key=lambda each: each["recall"])[:5]
    for position, each in enumerate(weakest):
        what = "" if position else "weakest classes"
        yield what, f"{each['name']}: {each['recall']:.1%} of {each['samples']}"


def _scene_rows(figures: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    categories = figures["categories"]
    yield "scenes and signs", f"{categories['scenes']} and {categories['signs']}"
    yield "mAP50, the benchmark's three categories", _percent(categories["map50_benchmark"])
    yield "mAP50-95, likewise", _percent(categories["map50_95_benchmark"])
    for position, label in enumerate(categories["labels"]):
        what = "" if position else "AP50 and AP60"
        yield what, f"{label['name']}: {_percent(label['ap50'])} and {_percent(label['ap60'])} of {label['signs']}"
    found = f"{categories['hits']:.0f} found, {categories['misses']:.0f} missed, {categories['false_alarms']:.0f} wrong"
    yield f"at a score of {categories['threshold']:.2f}", found
    if "classes" in figures:
        yield "mAP50 of the 43 classes, end to end", _percent(figures["classes"]["map50"])


def _percent(value: float | None) -> str:
    return "no signs" if value is None else f"{value:.2%}"
