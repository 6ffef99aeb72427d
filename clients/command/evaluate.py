"""`signs evaluate`: how good a model is, in PyTorch, in ONNX Runtime or on a running server."""

from collections.abc import Iterator
from typing import Any

from clients.command.output import print_json, print_lines
from export.evaluation.settings import EvaluationRequest
from traffic_signs.options import with_options
from traffic_signs.settings import Json


@with_options
def evaluate(request: EvaluationRequest, as_json: Json = False) -> None:
    """Evaluate a classifier on labelled signs, or a detector or recognizer on whole scenes.

    Give MODEL, or --url for a model on a running server. The figures of a classifier are accuracy, recall of each
    class, calibration and the worst mistakes; those of a detector or recognizer are average precision by category, by
    size and, if the signs are named, by class. The 95% interval is Wilson's, or of a bootstrap over the scenes.
    PyTorch, ONNX Runtime and Triton get the same images, so that their figures can be compared. --output gets
    evaluation.json and pictures: confusion, recall, reliability, mistakes.

    Examples:
        signs evaluate runs/gtsrb/checkpoint --data gtsrb=GTSRB --output figures
        signs evaluate model_repository/sign_classifier/1 --data gtsrb=GTSRB
        signs evaluate --url localhost:8001 --data gtsrb=GTSRB --split test --json
        signs evaluate detector.onnx --classifier classifier.onnx --data gtsdb=GTSDB
        signs evaluate runs/gtsrb/checkpoint --data feedback=feedback --split train
    """
    from traffic_sign_client.errors import ClientError

    if (request.model is None) == (not request.url):
        raise ClientError("give either a checkpoint, version or .onnx file, or --url of a running server")
    from export.evaluation.run import evaluate_model

    figures = evaluate_model(request)
    if as_json:
        print_json(figures)
        return
    from traffic_signs.console import Console, plain_table

    table = plain_table()
    table.add_row("data", f"{figures['data']}, {figures['split']} split")
    table.add_row("answered by", f"{figures['model']}, {figures['backend']}")
    for row in _crop_rows(figures) if "accuracy" in figures else _scene_rows(figures):
        table.add_row(*row)
    Console().print(table)
    print_lines(*(f"note: {notice}" for notice in figures["notices"]))
    if request.output is not None:
        print_lines(f"look: {request.output}")


def _crop_rows(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    samples, wrong = figures["samples"], figures["wrong"]
    yield "accuracy", f"{figures['accuracy']:.2%}  ({samples - wrong} of {samples})"
    yield "95% interval", _range(figures["accuracy_interval"])
    yield "mean recall of the classes", f"{figures['balanced_accuracy']:.2%}"
    yield "expected calibration error", f"{figures['ece']:.4f}"
    weakest = sorted((each for each in figures["classes"] if each["samples"]), key=lambda each: each["recall"])[:5]
    for position, each in enumerate(weakest):
        what = "" if position else "weakest classes"
        yield what, f"{each['name']}: {each['recall']:.1%} of {each['samples']}"


def _scene_rows(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    categories = figures["categories"]
    yield "scenes and signs", f"{categories['scenes']} and {categories['signs']}"
    if "map50_benchmark" in categories:
        yield "mAP50, the benchmark's three categories", _percent(categories["map50_benchmark"])
        yield "95% interval", _range(categories["map50_benchmark_interval"])
        yield "mAP50-95 of these", _percent(categories["map50_95_benchmark"])
    else:
        yield "mAP50", _percent(categories["map50"])
        yield "95% interval", _range(categories["map50_interval"])
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
        yield "95% interval", _range(figures["classes"]["map50_interval"])


def _range(bounds: list[float] | None) -> str:
    return "none: all resamples agree" if bounds is None else f"{bounds[0]:.2%} to {bounds[1]:.2%}"


def _percent(value: float | None) -> str:
    return "no signs" if value is None else f"{value:.2%}"
