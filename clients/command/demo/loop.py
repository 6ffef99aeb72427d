"""The whole loop, real at every step: data, training, export, a version, a server, clients, a report."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clients.command.demo.measure import Measurement, measure
from clients.command.demo.report import KIND, write_report
from clients.command.demo.settings import DemoSettings
from export.hardware_fit import fitting_arguments
from export.predictor import OnnxPredictor
from export.repository import Manifest, withdraw
from export.repository.pull import pull
from export.run import export_checkpoint
from serving.install import check_home, find_or_install
from serving.server import running_server
from traffic_sign_client.errors import ClientError
from traffic_signs.console import Console
from traffic_signs.progress import progress_bars
from traffic_signs.settings import DEFAULT_REPOSITORY
from training.classifier.runs import train_classifier
from training.data.gtsdb import load_gtsdb
from training.data.records import SPLITS, Dataset
from training.data.synthetic import write_gtsdb
from training.resume import check_name
from training.runs import FinishedRun, RunReporter

DRAWN_TRAIN_SCENES, DRAWN_TEST_SCENES = 240, 60

Probabilities = npt.NDArray[np.float32]


def run_demo(settings: DemoSettings, console: Console) -> dict[str, Any]:
    """Runs the loop, shows progress, and writes `report.html` and `summary.json` into the folder of the run.

    Returns:
        The content of summary.json.

    Raises:
        ClientError: PyTorch, ONNX Runtime and Triton do not name the same classes.
        training.errors.TrainingError, export.errors.ExportError, serving.errors.ServingError: a stage fails; nothing
            half-done is left.
    """
    seconds: dict[str, float] = {}
    name, runs = settings.name_or_time(), settings.runs
    folder, repository = runs / name, settings.repository or runs / DEFAULT_REPOSITORY

    def say(line: str) -> None:
        console.print(f"  {line}", soft_wrap=True)

    check_name(name, runs)
    if repository.exists() and not repository.is_dir():
        raise ClientError(f"{repository} is a file: give a folder with --repository")
    check_home(settings.home)
    with _stage("data", console, seconds):
        # First, so that a wrong path is reported before the training and not after it.
        dataset = _load(settings.data_path, runs, settings.seed, console)
        say(_describe(dataset))
    with _stage("server", console, seconds):
        installation = find_or_install(settings.home, lambda what: say(f"{what} ..."))
        say(installation.description)
    with _stage("train", console, seconds), progress_bars(console) as progress:
        reporter = RunReporter(progress, lambda notice: say(f"note: {notice}"))
        run = train_classifier([dataset], settings.recipe, name, runs, reporter)
    with _stage("export", console, seconds):
        manifest = export_checkpoint(run.checkpoint, repository, run.data.tests[KIND].images)
        say(
            f"{manifest.model} version {manifest.version}: parity with PyTorch on {manifest.parity['samples']} images, "
            f"largest difference {manifest.parity['max_difference']:.1e}"
        )
    with _stage("serve", console, seconds):
        model_file = repository / manifest.model / str(manifest.version) / "model.onnx"
        in_process = OnnxPredictor(model_file)(run.data.tests[KIND].images)["probabilities"]
        # This version alone: the repository may have another champion, which Triton would serve.
        pull(repository, folder / "served", {manifest.model: [manifest.version]})
        fitting, log = fitting_arguments(installation, folder / "served"), folder / "tritonserver.log"
        with running_server(installation, folder / "served", log, extra_arguments=fitting) as server:
            say(f"ready on {server.grpc_url} (gRPC) and {server.http_url} (HTTP)")
            measurement = measure(server, manifest.model, manifest.version, run.data.tests[KIND].images)
    answers = {
        "pytorch": run.answers[KIND].softmax(dim=1).numpy(),
        "onnxruntime": in_process,
        "triton_grpc": measurement.probabilities["grpc"],
        "triton_http": measurement.probabilities["http"],
    }
    try:
        _require_agreement(answers, run)
    except ClientError:
        withdraw(repository, manifest.model, manifest.version)
        raise
    summary = _summarise(answers, run, manifest, measurement, repository, folder, seconds)
    summary["data"]["notices"] = list(run.data.notices)
    summary["backend"] = installation.description
    summary["has_standin"] = installation.has_standin
    with _stage("report", console, seconds):
        write_report(folder, summary, dataset, run, manifest, measurement)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    return summary


@contextmanager
def _stage(name: str, console: Console, seconds: dict[str, float]) -> Iterator[None]:
    console.print(name, style="bold")
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 2)


def _load(data: Path | None, runs: Path, seed: int, console: Console) -> Dataset:
    if data is not None:
        dataset = load_gtsdb(data)
        for split in SPLITS:
            if not dataset.has_signs(split):
                raise ClientError(
                    f"{data} has no labelled signs in its {split} split: the demo needs both, training scenes 00000 to "
                    "00599 and test scenes 00600 to 00899; give the whole FullIJCNN2013"
                )
        return dataset
    folder = runs / "data" / f"drawn-scenes-seed-{seed}"
    if not folder.exists():
        # Another demo may draw them at the same time: the same seed draws the same scenes.
        with suppress(FileExistsError), progress_bars(console) as progress:
            write_gtsdb(
                folder,
                DRAWN_TRAIN_SCENES,
                DRAWN_TEST_SCENES,
                seed,
                progress=lambda *counts: progress("drawing scenes", *counts),
            )
    notice = "these scenes are drawn: an accuracy on them says nothing about real roads"
    return replace(load_gtsdb(folder), notices=(notice,))


def _describe(dataset: Dataset) -> str:
    parts = []
    for split in SPLITS:
        samples = dataset.split(split)
        boxes = sum(len(sample.boxes) for sample in samples)
        parts.append(f"{boxes} signs in {len(samples)} {split} scenes")
    return f"{dataset.name}: {', '.join(parts)}"


def _require_agreement(answers: dict[str, Probabilities], run: FinishedRun) -> None:
    reference = answers["pytorch"].argmax(axis=1)
    for name, probabilities in answers.items():
        wrong = np.flatnonzero(probabilities.argmax(axis=1) != reference)
        if len(wrong):
            raise ClientError(
                f"{name} and PyTorch name different classes for {len(wrong)} of {len(reference)} held-out crops "
                f"(numbers {', '.join(map(str, wrong[:10]))}): the version was withdrawn; please report this"
            )


def _summarise(
    answers: dict[str, Probabilities],
    run: FinishedRun,
    manifest: Manifest,
    measurement: Measurement,
    repository: Path,
    folder: Path,
    seconds: dict[str, float],
) -> dict[str, Any]:
    truth = run.data.tests[KIND].class_ids
    p50, p99 = np.percentile(measurement.latencies_ms["grpc"], (50, 99))
    http_p50, http_p99 = np.percentile(measurement.latencies_ms["http"], (50, 99))
    return {
        "name": folder.name,
        "model": manifest.model,
        "version": manifest.version,
        "repository": str(repository),
        "data": {
            "name": manifest.data["name"],
            "fingerprint": manifest.data["fingerprint"],
            "train_crops": len(run.data.train),
            "test_crops": len(run.data.tests[KIND]),
        },
        "accuracy": {name: float((each.argmax(axis=1) == truth).mean()) for name, each in answers.items()},
        "latency_ms": {"p50": round(float(p50), 3), "p99": round(float(p99), 3)},
        "latency_ms_http": {"p50": round(float(http_p50), 3), "p99": round(float(http_p99), 3)},
        "images_per_second": round(measurement.images_per_second, 1),
        "bytes": {
            "weights.safetensors": (run.checkpoint / "weights.safetensors").stat().st_size,
            "model.onnx": manifest.files["model.onnx"]["size"],
        },
        "report": str(folder / "report.html"),
        "mlflow_run": run.run_id,
        "seconds": seconds,
    }
