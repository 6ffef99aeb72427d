"""`signs evaluate`: how good a classifier is, in PyTorch, in ONNX Runtime or on a running server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clients.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

BATCH = 64


def evaluate(
    data: Annotated[str, typer.Option(help="gtsdb=PATH or gtsrb=PATH: a folder or zip.", show_default=False)],
    model: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint (PyTorch), or a version's folder or .onnx file (ONNX Runtime)."),
    ] = None,
    url: Annotated[str, typer.Option(help="host:port of a running server, instead of MODEL.", show_default=False)] = "",
    protocol: Annotated[str, typer.Option(help="grpc or http, with --url.")] = "grpc",
    name: Annotated[str, typer.Option(help="Name of the classifier on the server, with --url.")] = "sign_classifier",
    version: Annotated[str, typer.Option(help="Its version, with --url.", show_default="the server's choice")] = "",
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and pictures: confusion, recall, reliability, mistakes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Judge a classifier on labelled signs: accuracy, recall of each class, calibration, the worst mistakes.

    The same crops go through PyTorch, ONNX Runtime or Triton, so the figures can be compared.

    \b
    signs evaluate runs/gtsrb/checkpoint --data gtsrb=GTSRB --output runs/evaluation
    signs evaluate model_repository/sign_classifier/1 --data gtsdb=FullIJCNN2013.zip
    signs evaluate --url localhost:8001 --data gtsrb=GTSRB --split test --json
    """
    if (model is None) == (not url):
        raise ClientError("give either a checkpoint, version or .onnx file, or --url of a running server")
    if split not in ("train", "test"):
        raise typer.BadParameter(f"{split!r}: choose train or test", param_hint="--split")
    if protocol not in ("grpc", "http"):
        raise typer.BadParameter(f"{protocol!r}: choose grpc or http", param_hint="--protocol")
    figures = evaluate_model(model, data, split, output, url, protocol, name, version)
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
    name: str = "sign_classifier",
    version: str = "",
) -> dict[str, Any]:
    """Classifies the crops of a split and compares the answers with their labels.

    Args:
        model: checkpoint, version folder or ONNX file; None for a server.
        data: of one data set, as `training.data.load.load_data` takes it.
        split: "train" or "test".
        output: folder for the figures and pictures, or None.
        url: of the server, likewise `protocol`, `name` and `version` of its model.

    Returns:
        What `training.classifier.report.all_figures` gives, and `backend`, `data`, `split` and `notices`.

    Raises:
        ClientError: there is no such model, or the server does not answer.
        training.errors.DataError: the data cannot be used.
    """
    from rich.console import Console

    from training.classifier.evaluate import evaluate as compare
    from training.classifier.report import all_figures, write_evaluation
    from training.data.crops import cut_crops
    from training.data.load import load_data
    from training.progress import progress_bars

    backend, predict, size, trained_on = _open(model, url, protocol, name, version)
    dataset = load_data(data)
    notices = [*dataset.notices, *_leaks(dataset.kind, split, trained_on)]
    with progress_bars(Console(stderr=True)) as progress:
        crops = cut_crops(dataset, split, size, lambda *counts: progress("reading images", *counts))
        probabilities = _predict_all(predict, crops.images, lambda *counts: progress("classifying", *counts))
    evaluation = compare(probabilities, crops.class_ids)
    if output is not None:
        write_evaluation(output, evaluation, crops, probabilities)
    return {
        "backend": backend,
        "data": dataset.name,
        "split": split,
        "notices": notices,
        **all_figures(evaluation, crops, probabilities),
    }


def _open(
    model: Path | None, url: str, protocol: Any, name: str, version: str
) -> "tuple[str, Predict, int, dict[str, str]]":
    """Returns what answers, how to ask it, the size of its input, and what it learned from as far as is known."""
    if model is None:
        from clients.client import SignClient

        client = SignClient(url, protocol, name, version)
        return f"triton_{protocol}", client.probabilities, client.input_size, {}
    if (model / "model.json").is_file():
        from export.parity import pytorch_predictor
        from training.checkpoint import load_checkpoint

        network, info = load_checkpoint(model, name)
        return "pytorch", pytorch_predictor(network), info.input_size[0], info.data
    path = model / "model.onnx" if model.is_dir() else model
    if path.suffix != ".onnx" or not path.is_file():
        raise ClientError(f"{model} is no checkpoint, no version with a model.onnx and no .onnx file: check the path")
    from export.parity import input_size, onnxruntime_predictor

    manifest = path.with_name("manifest.json")
    trained_on = json.loads(manifest.read_text()).get("data", {}) if manifest.is_file() else {}
    size = input_size(path)  # first: it says more clearly than ONNX Runtime what a wrong file is
    return "onnxruntime", onnxruntime_predictor(path), size, trained_on


def _predict_all(
    predict: "Predict", images: "npt.NDArray[np.uint8]", progress: "Callable[[int, int], None]"
) -> "npt.NDArray[np.float32]":
    import numpy as np

    answers = []
    for start in range(0, len(images), BATCH):
        answers.append(predict(images[start : start + BATCH]))
        progress(min(start + BATCH, len(images)), len(images))
    return np.concatenate(answers)


def _leaks(kind: str, split: str, trained_on: dict[str, str]) -> list[str]:
    """Returns a warning where the model may have learned from the very signs it is judged on."""
    if split == "train":
        return ["these are training signs: the figures say what the model remembers, not what it can do"]
    learned_from = {name.partition("=")[0] for name in trained_on.get("name", "").split(", ")}
    others = sorted({"gtsdb", "gtsrb"} & learned_from - {kind})
    if others and kind not in trained_on.get("free_of", "").split(","):
        return [f"it learned from {others[0].upper()}, which shows some of these signs: the figures may flatter"]
    return []


def _print(figures: dict[str, Any], output: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    samples, wrong = figures["samples"], figures["wrong"]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("data", f"{figures['data']}, {figures['split']} split")
    table.add_row("answered by", figures["backend"])
    table.add_row("accuracy", f"{figures['accuracy']:.2%}  ({samples - wrong} of {samples})")
    table.add_row("mean recall of the classes", f"{figures['balanced_accuracy']:.2%}")
    table.add_row("expected calibration error", f"{figures['ece']:.4f}")
    weakest = sorted((each for each in figures["classes"] if each["samples"]), key=lambda each: each["recall"])[:5]
    for position, each in enumerate(weakest):
        table.add_row(
            "" if position else "weakest classes", f"{each['name']}: {each['recall']:.1%} of {each['samples']}"
        )
    console.print(table, highlight=False)
    for notice in figures["notices"]:
        console.print(f"note: {notice}", highlight=False, soft_wrap=True)
    if output is not None:
        console.print(f"look: {output}", highlight=False, soft_wrap=True)
