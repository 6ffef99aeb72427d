"""Evaluates a model on a labelled split."""

from contextlib import nullcontext
from typing import Any

from export.evaluation.model_ref import RECOGNIZER, ModelRef, usual_model
from export.evaluation.scenes import evaluate_scenes, served_recognizer
from export.evaluation.settings import EvaluationRequest
from export.kinds import CLASSIFIER, find_kind
from export.model_kind import Predictor
from export.repository.class_names import class_difference
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.progress import progress_bars
from training.data.load import load_data
from training.data.records import Dataset


def evaluate_model(request: EvaluationRequest) -> dict[str, Any]:
    """Compares the answers of a model on a split with the labels.

    Returns:
        `model`, `backend`, `data`, `split`, `notices`; and the figures of
        `training.classifier.report.all_figures` for a classifier, of `evaluate_scenes` for others.

    Raises:
        ClientError: there is no such model, the server does not answer, or the data does not fit the model.
        training.errors.DataError: the data cannot be used.
    """
    dataset, name, classifier = load_data(request.data), request.name, request.classifier
    split, output = request.split, request.output
    if request.model is None:
        name = name or usual_model(request.url, request.protocol, dataset.kind)
    reference = ModelRef(request.model, request.url, request.protocol, name, request.version, request.device)
    kind = reference.kind()
    takes_scenes = kind == RECOGNIZER or find_kind(kind).takes_scenes
    if classifier is not None and (kind == RECOGNIZER or not takes_scenes):
        raise ClientError(f"--classifier names what a detector finds, and this is a {kind}: leave it out")
    names = None if classifier is None else ModelRef(classifier, device=request.device)
    if names is not None and (other := names.kind()) != CLASSIFIER.name:
        raise ClientError(f"--classifier {classifier} is of a {other}: give one of a {CLASSIFIER.name}")
    if takes_scenes and not dataset.has_scenes:
        raise ClientError(f"{dataset.name} has no street scenes: evaluate a {kind} on gtsdb=PATH")
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)  # an error here comes before minutes of reading
    with progress_bars(Console(stderr=True)) as progress:
        if kind == RECOGNIZER:
            find = served_recognizer(
                reference.url, reference.protocol, reference.name, reference.version, dataset.classes
            )
            backend, networks = f"triton_{reference.protocol}", []
            figures = evaluate_scenes(find, dataset, split, output, progress)
        else:
            with reference.open() as network, names.open() if names else nullcontext() as namer:
                backend, networks = network.backend, [network, *([namer] if namer else [])]
                for each in networks:
                    require_classes(each, dataset)
                figures = network.kind.evaluate(network, dataset, split, output, namer, progress)
    notices = [*dataset.all_notices(), *leaks(dataset.kind, split, [each.trained_on for each in networks])]
    return {"model": kind, "backend": backend, "data": dataset.name, "split": split, "notices": notices} | figures


def require_classes(network: Predictor, dataset: Dataset) -> None:
    """Raises ClientError if a network names other classes than a data set has, or in another order."""
    if difference := class_difference(network.class_names(), network.kind.label_names(dataset.classes)):
        raise ClientError(
            f"the {network.kind.name} has other classes than {dataset.name} ({difference}): evaluate it on data of its "
            "own classes"
        )


def leaks(kind: str, split: str, trained_on: list[dict[str, str]]) -> list[str]:
    """Returns a warning if a model may have learned from the signs that it is evaluated on.

    `trained_on` has the data sets that each network learned from, as in its checkpoint.
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
            return [
                f"it learned from {others[0].upper()}, which {shows} some of these signs: the figures may be too high"
            ]
    return []
