"""`signs evaluate`: how good a model is, in PyTorch, in ONNX Runtime or on a running server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import ClientError
from training.data.records import Split

if TYPE_CHECKING:
    from collections.abc import Iterator


def evaluate(
    data: Annotated[
        str,
        typer.Option(help="gtsdb=PATH, gtsrb=PATH, images=PATH, ...: a folder or zip.", show_default=False),
    ],
    model: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint (PyTorch), or a version's folder or .onnx file (ONNX Runtime)."),
    ] = None,
    url: Annotated[str, typer.Option(help="host:port of a running server, instead of MODEL.", show_default=False)] = "",
    protocol: Annotated[Protocol, typer.Option(help="grpc or http, with --url.")] = "grpc",
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
    device: Annotated[
        Literal["cpu", "cuda"], typer.Option(help="cpu, or cuda: run MODEL on the GPU, without TF32.")
    ] = "cpu",
    split: Annotated[Split, typer.Option(help="test or train.")] = "test",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and pictures: confusion, recall, reliability, mistakes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Evaluate a classifier on labelled signs, or a detector or recognizer on whole scenes.

    Of a classifier: accuracy, recall of each class, calibration, the worst mistakes. Of what finds signs in scenes:
    average precision by category, by size and, where somebody names the signs, by class. The same images go
    through PyTorch, ONNX Runtime or Triton, so the figures can be compared.

    \b
    signs evaluate runs/gtsrb/checkpoint --data gtsrb=GTSRB --output runs/evaluation
    signs evaluate model_repository/sign_classifier/1 --data gtsdb=FullIJCNN2013.zip
    signs evaluate --url localhost:8001 --data gtsrb=GTSRB --split test --json
    signs evaluate runs/detector/checkpoint --classifier runs/gtsdb/checkpoint --data gtsdb=FullIJCNN2013.zip
    signs evaluate runs/gtsrb/checkpoint --data feedback=feedback --split train
    signs evaluate model_repository/sign_classifier/1 --data gtsrb=GTSRB --device cuda
    """
    if (model is None) == (not url):
        raise ClientError("give either a checkpoint, version or .onnx file, or --url of a running server")
    if url and device != "cpu":
        raise typer.BadParameter("a server has its own device: leave out --url", param_hint="--device")
    from export.evaluation.run import evaluate_model

    figures = evaluate_model(model, data, split, output, url, protocol, name, version, classifier, device)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _print(figures, output)


def _print(figures: dict[str, Any], output: Path | None) -> None:
    from rich.table import Table

    from traffic_signs.console import Console

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
    if "map50_benchmark" in categories:
        yield "mAP50, the benchmark's three categories", _percent(categories["map50_benchmark"])
        yield "mAP50-95 of these", _percent(categories["map50_95_benchmark"])
    else:
        yield "mAP50", _percent(categories["map50"])
        yield "mAP50-95", _percent(categories["map50_95"])
    for position, label in enumerate(categories["labels"]):
        what = "" if position else "AP50 and AP60"
        yield what, f"{label['name']}: {_percent(label['ap50'])} and {_percent(label['ap60'])} of {label['signs']}"
    if categories["threshold"] is None:  # no detection is right, at whatever score
        yield "at any score", f"0 of {categories['signs']} found"
    else:
        found, missed, wrong = (categories[name] for name in ("hits", "misses", "false_alarms"))
        counts = f"{found:.0f} found, {missed:.0f} missed, {wrong:.0f} wrong"
        yield f"at a score of {categories['threshold']:.2f}", counts
    if "classes" in figures:
        yield "mAP50 of the classes, end to end", _percent(figures["classes"]["map50"])


def _percent(value: float | None) -> str:
    return "no signs" if value is None else f"{value:.2%}"
