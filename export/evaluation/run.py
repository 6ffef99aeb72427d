"""Lets a model answer on a labelled split and compares the answers with the labels."""

from contextlib import nullcontext
from typing import Any

from export.evaluation.model_ref import RECOGNIZER, ModelRef, usual_model
from export.evaluation.scenes import evaluate_scenes, served_recognizer
from export.evaluation.settings import EvaluationRequest
from export.kinds import CLASSIFIER, find_kind
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.progress import ProgressCallback, progress_bars
from training.data.load import load_data
from training.data.records import Dataset


def evaluate_model(request: EvaluationRequest) -> dict[str, Any]:
    """Lets a model answer on a split, and compares the answers with the labels.

    Returns:
        `model`, `backend`, `data`, `split`, `notices`; and of a classifier what
        `training.classifier.report.all_figures` gives, of all else what `evaluate_scenes` does.

    Raises:
        ClientError: there is no such model, the server does not answer, or the data does not fit the model.
        training.errors.DataError: the data cannot be used.
    """
    dataset, name, classifier, output = load_data(request.data), request.name, request.classifier, request.output
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
        output.mkdir(parents=True, exist_ok=True)  # where it cannot be made, say so before the minutes of reading
    with progress_bars(Console(stderr=True)) as progress:
        backend, trained_on, figures = _answered(reference, kind, names, dataset, request, progress)
    notices = [*dataset.all_notices(), *leaks(dataset.kind, request.split, trained_on)]
    return {
        "model": kind,
        "backend": backend,
        "data": dataset.name,
        "split": request.split,
        "notices": notices,
        **figures,
    }


def _answered(
    model: ModelRef,
    kind: str,
    classifier: ModelRef | None,
    dataset: Dataset,
    request: EvaluationRequest,
    progress: ProgressCallback,
) -> tuple[str, list[dict[str, str]], dict[str, Any]]:
    """Has a model answer; returns who did, what is known of the training data of each network, and the figures."""
    split, output = request.split, request.output
    if kind == RECOGNIZER:
        find = served_recognizer(model.url, model.protocol, model.name, model.version, dataset.classes)
        return f"triton_{model.protocol}", [], evaluate_scenes(find, dataset, split, output, progress)
    with model.open() as network, classifier.open() if classifier else nullcontext() as names:
        figures = network.kind.evaluate(network, dataset, split, output, names, progress)
        return network.backend, [each.trained_on for each in (network, names) if each is not None], figures


def leaks(kind: str, split: str, trained_on: list[dict[str, str]]) -> list[str]:
    """Returns a warning where a model may have learned from the very signs it is evaluated on.

    Args:
        kind: of the data set that it is evaluated on.
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
