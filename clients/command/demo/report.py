"""The report page of a demo: one HTML file with its pictures inside."""

import io
from pathlib import Path
from typing import Any

import matplotlib.ticker
import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from PIL import Image

from clients.benchmark.page import data_url, render
from clients.command.demo.measure import BATCH, CLIENTS, REQUESTS, Measurement
from clients.command.demo.table import LABELS
from clients.prediction.annotate import annotate
from export.repository import Manifest
from traffic_sign_client import Sign
from traffic_signs.classes import CLASS_NAMES, GERMAN_SIGNS
from traffic_signs.plots import ACCENT, RULE, SECOND, save_figure
from traffic_signs.preprocessing import decode
from training.data.records import Dataset
from training.runs import FinishedRun

KIND = "gtsdb"  # of the data, drawn or real
GALLERY = 28  # four full rows on a wide screen
SCENE_WIDTH = 1100


def write_report(
    folder: Path,
    summary: dict[str, Any],
    dataset: Dataset,
    run: FinishedRun,
    manifest: Manifest,
    measurement: Measurement,
) -> None:
    """Writes `folder/report.html`, and its plots into `folder/plots`."""
    _draw_latencies(measurement, folder / "plots" / "latencies.png")
    files = {
        "curves": "curves.png",
        "confusion_matrix": f"{KIND}_test/confusion_matrix.png",
        "latencies": "latencies.png",
    }
    page = render(
        Path(__file__).with_name("report.html.j2"),
        summary=summary,
        labels=LABELS,
        manifest=manifest,
        plots={name: data_url((folder / "plots" / file).read_bytes(), "image/png") for name, file in files.items()},
        scene=_draw_scene(dataset, run),
        gallery=_gallery(run, _spread(run)),
        mistakes=_gallery(run, run.evaluations[KIND].mistakes[:GALLERY]),
        measured={"requests": REQUESTS, "clients": CLIENTS, "batch": BATCH},
    )
    (folder / "report.html").write_text(page)


def _spread(run: FinishedRun) -> npt.NDArray[np.int64]:
    """Returns held-out crops of as many classes as the gallery can show."""
    _, first = np.unique(run.data.tests[KIND].class_ids, return_index=True)
    rest = np.setdiff1d(np.arange(len(run.data.tests[KIND])), first)
    chosen: npt.NDArray[np.int64] = np.concatenate([first, rest])[:GALLERY]
    return chosen


def _gallery(run: FinishedRun, indices: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    cards = []
    for index in indices:
        scores = run.answers[KIND][index].softmax(dim=0)
        truth, predicted = int(run.data.tests[KIND].class_ids[index]), int(scores.argmax())
        cards.append(
            {
                "picture": _embed(Image.fromarray(run.data.tests[KIND].images[index]), "PNG"),
                "truth": CLASS_NAMES[truth],
                "predicted": CLASS_NAMES[predicted],
                "score": float(scores[predicted]),
                "right": truth == predicted,
            }
        )
    return cards


def _draw_scene(dataset: Dataset, run: FinishedRun) -> str:
    """Draws the held-out scene with the most signs, each with the class that was predicted for it."""
    names = run.data.tests[KIND].sources
    busiest = max(sorted(set(names)), key=names.count)
    sample = next(each for each in dataset.split("test") if each.image == busiest)
    picture = decode(dataset.read(sample))
    first, signs = names.index(busiest), []
    for box, probabilities in zip(sample.boxes, run.answers[KIND].softmax(1).numpy()[first:], strict=False):
        class_id, edges = int(probabilities.argmax()), (box.left, box.top, box.right, box.bottom)
        category = GERMAN_SIGNS.category_names[GERMAN_SIGNS.categories[class_id]]
        signs.append(Sign(edges, 1.0, category, class_id, float(probabilities[class_id]), CLASS_NAMES[class_id]))
    picture = annotate(picture, signs)
    size = (SCENE_WIDTH, round(picture.height * SCENE_WIDTH / picture.width))
    return _embed(picture.resize(size, Image.Resampling.LANCZOS), "JPEG")


def _draw_latencies(measurement: Measurement, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 3.2))
    for (label, values), color in zip(measurement.latencies_ms.items(), (ACCENT, SECOND), strict=True):
        axes.plot(np.sort(values), np.linspace(0, 100, len(values)), label=label, color=color, linewidth=2)
    axes.set(xlabel="milliseconds for one image", ylabel="% of requests answered", xscale="log")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.tick_params(axis="x", which="minor", labelsize=8)
    axes.grid(color=RULE, linewidth=0.6, which="both")
    axes.legend(frameon=False)
    save_figure(figure, path)


def _embed(picture: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=88)
    return data_url(buffer.getvalue(), f"image/{kind.lower()}")
