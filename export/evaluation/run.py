"""Lets a model answer on a labelled split and compares the answers with the labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from export.evaluation.model_ref import CLASSIFIER, DETECTOR, RECOGNIZER, ModelRef, usual_model
from export.evaluation.scenes import evaluate_scenes, in_process, served_recognizer
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.progress import progress_bars
from training.classifier.evaluate import evaluate as compare
from training.classifier.report import all_figures, write_evaluation
from training.data.crops import cut_crops
from training.data.load import load_data
from training.data.records import Dataset

Predict = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]

BATCH = 64


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
    device: str = "cpu",
) -> dict[str, Any]:
    """Lets a model answer on a split, and compares the answers with the labels.

    Args:
        model: checkpoint, version folder or ONNX file; None for a server.
        data: of one data set, as `training.data.load.load_data` takes it.
        split: "train" or "test".
        output: folder for the figures and pictures, or None.
        url: of the server, likewise `protocol`, `name` and `version` of its model.
        classifier: what names the signs that a detector finds, like `model`.
        device: cpu or cuda, where a checkpoint or file runs.

    Returns:
        `model`, `backend`, `data`, `split`, `notices`; and of a classifier what
        `training.classifier.report.all_figures` gives, of all else what `evaluate_scenes` does.

    Raises:
        ClientError: there is no such model, the server does not answer, or the data does not fit the model.
        training.errors.DataError: the data cannot be used.
    """
    dataset = load_data(data)
    if model is None:
        name = name or usual_model(url, protocol, dataset.kind)
    judged = ModelRef(model, url, protocol, name, version, device)
    kind = judged.kind()
    if classifier is not None and kind != DETECTOR:
        raise ClientError(f"--classifier names what a detector finds, and this is a {kind}: leave it out")
    names = None if classifier is None else ModelRef(classifier, device=device)
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
    notices = [*dataset.all_notices(), *leaks(dataset.kind, split, trained_on)]
    return {
        "model": kind,
        "backend": backend,
        "data": dataset.name,
        "split": split,
        "notices": notices,
        **figures,
    }


def _on_crops(
    judged: ModelRef, dataset: Dataset, split: Any, output: Path | None
) -> tuple[str, list[dict[str, str]], dict[str, Any]]:
    """Judges a classifier; returns who answered, what is known of the training data, and the figures."""
    opened = judged.open_classifier()
    if opened.size[0] != opened.size[1]:
        raise ClientError(f"the classifier takes {opened.size[1]}x{opened.size[0]} pixels: sign crops are square")
    with progress_bars(Console(stderr=True)) as progress:
        crops = cut_crops(dataset, split, opened.size[0], lambda *counts: progress("reading images", *counts))
        probabilities = predict_all(opened.run, crops.images, lambda *counts: progress("classifying", *counts))
    names = dataset.classes.names
    if probabilities.shape[1] != len(names):
        raise ClientError(
            f"the classifier tells {probabilities.shape[1]} classes apart and {dataset.name} has {len(names)}: "
            "evaluate it on data of its own classes"
        )
    evaluation = compare(probabilities, crops.class_ids, names)
    if output is not None:
        write_evaluation(output, evaluation, crops, probabilities)
    return opened.backend, [opened.trained_on], all_figures(evaluation, crops, probabilities)


def _on_scenes(
    judged: ModelRef, kind: str, classifier: ModelRef | None, dataset: Dataset, split: Any, output: Path | None
) -> tuple[str, list[dict[str, str]], dict[str, Any]]:
    """Judges what finds signs, likewise."""
    backend, trained_on = f"triton_{judged.protocol}", []
    if kind == RECOGNIZER:
        find = served_recognizer(judged.url, judged.protocol, judged.name, judged.version, dataset.classes)
    else:
        detector, names = judged.open_detector(), classifier.open_classifier() if classifier is not None else None
        backend, trained_on = detector.backend, [each.trained_on for each in (detector, names) if each is not None]
        find = in_process(detector, names)
    with progress_bars(Console(stderr=True)) as progress:
        return backend, trained_on, evaluate_scenes(find, dataset, split, output, progress)


def predict_all(
    predict: Predict, images: npt.NDArray[np.uint8], progress: Callable[[int, int], None] | None = None
) -> npt.NDArray[np.float32]:
    """Returns a classifier's answers to any number of crops, uint8 [n, size, size, 3]: float32 [n, classes]."""
    answers = []
    for start in range(0, len(images), BATCH):
        answers.append(predict(images[start : start + BATCH]))
        if progress is not None:
            progress(min(start + BATCH, len(images)), len(images))
    return np.concatenate(answers)


def leaks(kind: str, split: str, trained_on: list[dict[str, str]]) -> list[str]:
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
