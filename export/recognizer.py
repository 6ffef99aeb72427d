"""Publishes the recognizer: its Python sources, with settings for the detector and classifier of the repository."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, datatype, describe_tensors, recognizer_config, to_text
from export.drift_reference import make_reference, open_recognizer, served_version
from export.errors import ExportError
from export.hardware_fit import LARGER, SMALLEST, cpu_name, share_out
from export.kinds import CLASSIFIER, DETECTOR, ModelKind, TensorSpec
from export.reference import FILE as REFERENCE
from export.repository import Manifest, publish, versions
from export.repository.calls import describe_call
from export.repository.class_names import version_class_names
from export.repository.configuration import GPU
from export.repository.policy import CONFIG, config_path, read_config
from export.repository.promotion import present_configs, require_version
from export.repository.store import Store, open_store
from export.serving_plan import int8_series
from serving import RECOGNIZER_SOURCES
from traffic_signs.classes import GERMAN_SIGNS, ClassSet
from traffic_signs.commit import git_commit
from traffic_signs.progress import ProgressCallback, silent
from training.data.records import Dataset, Split

RECOGNIZER = "sign_recognizer"
# It computes on CPUs only, where a process takes one photograph, that which has waited longest: one that took all that
# wait would leave the other cores idle and answer all of them at the end. There is one process more than the detector
# has instances: it decodes while the others wait for the detector.
SERVING = Serving(1, queue_delay_us=0, instances=share_out(SMALLEST)[0] + 1, target="cpu")
# With a GPU decoding is the limit: 8 processes with threads for all cores, which Triton's batches of their calls serve.
BESIDE_GPU = replace(SERVING, max_batch=2, instances=8)
SCORE_THRESHOLD = 0.3


def export_recognizer(
    repository: Path,
    score_threshold: float = SCORE_THRESHOLD,
    scenes: Dataset | None = None,
    split: Split = "test",
    progress: ProgressCallback = silent,
    unknown_threshold: float | None = None,
) -> Manifest:
    """Publishes the recognizer as a new version, for the detector and classifier that are served.

    Args:
        repository: folder with a detector and a classifier.
        score_threshold: lowest detection score that counts, if the request has none.
        scenes: data set for the reference for drift; the version has no reference without it.
        split: a part that the models were not trained on, or their scores are too high.
        unknown_threshold: class score below which a sign is unknown, if the request has none; None takes what the
            classifier's training calibrated on held-out signs, else 0.

    Raises:
        ExportError: a model is missing or unfit, the reference cannot be measured, or the version cannot be published;
            nothing is published.
        training.errors.DataError: a scene of the reference cannot be read.
    """
    for name, threshold in (("score", score_threshold), ("unknown", unknown_threshold or 0)):
        if not 0 <= threshold <= 1:
            raise ExportError(f"the {name} threshold is {threshold:g}: give a number from 0 to 1")
    store = open_store(repository)
    detector, classifier = (_read_config(repository, kind) for kind in (DETECTOR, CLASSIFIER))
    called = {kind.name: served_version(repository, kind.name) for kind in (DETECTOR, CLASSIFIER)}
    classes = _classes(store, called, _class_names(store, called[CLASSIFIER.name], classifier))
    height, width, _ = detector.input[0].dims
    settings = {
        "scene_height": height,
        "scene_width": width,
        "detector_max_batch": _max_batch(store, DETECTOR.name),
        "crop_size": classifier.input[0].dims[0],
        "classifier_max_batch": _max_batch(store, CLASSIFIER.name),
        "class_names": list(classes.names),
        "class_categories": list(classes.categories),
        "category_names": list(classes.category_names),
    }
    files = {path.name: path.read_bytes() for path in sorted(RECOGNIZER_SOURCES.glob("*.py"))}
    source = {"git_commit": git_commit()}
    for model, version in called.items():
        source |= describe_call(store, model, version)
    if scenes is not None:
        recognizer = open_recognizer(repository, score_threshold, called)
        files[REFERENCE] = make_reference(recognizer, scenes, split, progress).to_bytes()
    if unknown_threshold is None:
        classified = require_version(store, CLASSIFIER.name, called[CLASSIFIER.name])
        unknown_threshold = classified.metrics.get("unknown_threshold", 0.0) if classified else 0.0
    servings = {"": SERVING, GPU: BESIDE_GPU} | {
        cpu_name(cores): replace(SERVING, instances=share_out(cores)[0] + 1) for cores in LARGER
    }
    categories = [classes.category_names[category] for category in classes.categories]
    servings |= int8_series(servings, int8=False)
    configs = {
        config_path(name): recognizer_config(RECOGNIZER, score_threshold, serving, unknown_threshold, categories)
        for name, serving in servings.items()
    }
    config = configs[CONFIG]
    return publish(
        repository,
        RECOGNIZER,
        files={**files, "settings.json": (json.dumps(settings, indent=2) + "\n").encode()},
        shared={path: to_text(each) for path, each in configs.items()},
        facts={
            "source": source,
            "inputs": describe_tensors(config.input),
            "outputs": describe_tensors(config.output),
        },
    )


def _max_batch(store: Store, model: str) -> int:
    """Returns the largest batch that all configurations of a model take."""
    return min(int(config.max_batch_size) for config in present_configs(store, model).values())


def _read_config(repository: Path, kind: ModelKind) -> pb.ModelConfig:
    """Reads the configuration of a network and checks that the recognizer can call it."""
    path = repository / kind.name / "config.pbtxt"
    if not path.is_file() or not versions(repository, kind.name):
        raise ExportError(
            f"{repository} has no {kind.name}, which the recognizer calls: publish one first with `signs export onnx`"
        )
    config = read_config(path.read_bytes(), str(path))
    tensors = [*config.input, *config.output]
    wrong = [
        f"no {wanted.name} of {wanted.datatype} {[size or 'any' for size in wanted.shape]}"
        for wanted in (kind.input, *kind.outputs)
        if not any(_matches(wanted, tensor) for tensor in tensors)
    ]
    if len(config.input) != 1:
        wrong.append(f"{len(config.input)} inputs")
    if config.max_batch_size < 1:
        wrong.append("no batches")
    if kind is CLASSIFIER and not wrong and config.input[0].dims[0] != config.input[0].dims[1]:
        wrong.append("crops that are not square")
    if wrong:
        raise ExportError(
            f"{path} is no {kind.name} that the recognizer can call ({', '.join(wrong)}): export it again"
        )
    return config


def _matches(wanted: TensorSpec, found: Any) -> bool:
    return (
        (found.name, found.data_type) == (wanted.name, datatype(wanted))
        and len(found.dims) == len(wanted.shape)
        and all(each > 0 and size in (None, each) for size, each in zip(wanted.shape, found.dims, strict=True))
    )


def _class_names(store: Store, version: int, classifier: pb.ModelConfig) -> list[str]:
    names, classes = version_class_names(store, CLASSIFIER.name, version) or [], classifier.output[0].dims[0]
    if len(names) != classes:
        raise ExportError(
            f"{CLASSIFIER.name} {version} names {len(names)} classes and has {classes}: export the classifier again"
        )
    return names


def _classes(store: Store, called: Mapping[str, int], names: Sequence[str]) -> ClassSet:
    """Returns the classes of classifier and detector; raises ExportError if they were trained on different ones."""
    categories = {}
    for model, version in called.items():
        manifest = require_version(store, model, version)
        categories[model] = manifest.data.get("categories", "") if manifest is not None else ""
    detector, classifier = (categories[kind.name] for kind in (DETECTOR, CLASSIFIER))
    named = f"{CLASSIFIER.name} {called[CLASSIFIER.name]}"
    if detector != classifier:
        raise ExportError(
            f"{DETECTOR.name} {called[DETECTOR.name]} and {named} were trained on different classes: export both "
            "from checkpoints that learned from the same data"
        )
    if not classifier:
        if len(names) != len(GERMAN_SIGNS):
            raise ExportError(
                f"{named} has {len(names)} classes and does not say which category each has; of the "
                f"{len(GERMAN_SIGNS)} German signs that is known. Train it again"
            )
        return replace(GERMAN_SIGNS, names=tuple(names))
    return ClassSet.of(names, classifier.split("\n"))
