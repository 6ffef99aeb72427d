"""Measurements as a recognizer would take them, drawn from known distributions, and a server's metrics of them."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from export.reference import FILE, Measurements, Reference
from export.repository import Manifest, publish
from monitoring.drift.features import CLASSES, EMPTY, HISTOGRAMS, Edges, count_by_scene
from serving.recognizer.buckets import BUCKETS, PREFIX

EDGES: dict[str, Edges] = {name: tuple(map(float, edges)) for name, edges in BUCKETS.items()}
NUM_CLASSES = 43


def draw(scenes: int, seed: int, brightness: float = 128, classes: tuple[int, int] = (0, 40)) -> Measurements:
    """Returns measurements of scenes with none to three signs each.

    Args:
        scenes: how many.
        seed: of all numbers.
        brightness: mean of the scenes.
        classes: the signs are of the first and up to the second, exclusive.
    """
    rng = np.random.default_rng(seed)
    scene_of = np.repeat(np.arange(scenes), rng.integers(0, 4, scenes))
    signs = len(scene_of)
    return Measurements(
        {
            "scene_brightness": rng.normal(brightness, 15, scenes),
            "scene_sharpness": rng.lognormal(6, 0.7, scenes),
        },
        {
            "detection_score": rng.uniform(0.3, 1, signs),
            "class_score": 1 - rng.exponential(0.02, signs).clip(0, 0.9),
            "sign_size_pixels": rng.lognormal(3.5, 0.4, signs),
        },
        rng.integers(*classes, signs),
        scene_of,
    )


def reference_of(measurements: Measurements) -> Reference:
    models = {"sign_detector": 1, "sign_classifier": 2}
    return Reference("gtsdb=drawn", "test", "0" * 64, models, 0.3, measurements)


def publish_recognizer(repository: Path, reference: Reference | None) -> Manifest:
    """Publishes the next version of a recognizer that consists of nothing but its reference."""
    files = {"model.py": b"", **({FILE: reference.to_bytes()} if reference else {})}
    return publish(repository, "sign_recognizer", files, {}, {})


def exposition(version: str, measurements: Measurements) -> str:
    """Returns what a server has counted of scenes, as Triton writes it."""
    counts = {name: table.sum(axis=0) for name, table in count_by_scene(measurements, EDGES, NUM_CLASSES).items()}
    label = f'version="{version}"'
    lines = [
        f"{PREFIX}scenes_total{{{label}}} {len(measurements)}",
        f"{PREFIX}empty_scenes_total{{{label}}} {counts[EMPTY][1]:.0f}",
    ]
    for class_id, count in enumerate(counts[CLASSES]):
        lines.append(f'{PREFIX}signs_total{{class_id="{class_id}",name="x",{label}}} {count:.0f}')
    for name in HISTOGRAMS:
        edges = [*(f"{edge:g}" for edge in EDGES[name]), "+Inf"]
        for edge, count in zip(edges, counts[name].cumsum(), strict=True):
            lines.append(f'{PREFIX}{name}_bucket{{{label},le="{edge}"}} {count:.0f}')
    return "\n".join(lines) + "\n"


@contextmanager
def page(answer: Callable[[str], tuple[int, str, str]]) -> Iterator[str]:
    """Serves what a function makes of a path: status, content type and text; yields host:port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, kind, text = answer(self.path + self.rfile.read(length).decode())
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
