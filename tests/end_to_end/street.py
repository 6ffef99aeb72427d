"""Photographs for the detector of red cells, and what is asked about them."""

import io
import re
import urllib.request
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from serving.server import RunningServer
from tests.red_detector import CELL
from traffic_sign_client import SignClient
from traffic_sign_client.connection import Protocol

HEIGHT, WIDTH = 400, 680  # what the detector takes
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")


def street(cells: Sequence[tuple[int, int]], factor: int = 1, seed: int = 0) -> Image.Image:
    """Returns a grey, noisy picture with red cells at (column, row), `factor` times the detector's input."""
    size = CELL * factor
    shape = (HEIGHT * factor, WIDTH * factor, 1)
    pixels = np.random.default_rng(seed).integers(60, 100, shape, dtype=np.uint8).repeat(3, axis=2)
    for column, row in cells:
        pixels[row * size : (row + 1) * size, column * size : (column + 1) * size] = (230, 20, 25)
        # Something inside, so that not all signs look the same to the classifier.
        inner = slice(row * size + 4, row * size + 4 + column), slice(column * size + 4, column * size + 4 + row)
        pixels[inner] = (250, 140, 145)
    return Image.fromarray(pixels)


def boxes_of(cells: Sequence[tuple[int, int]], factor: int = 1) -> set[tuple[float, float, float, float]]:
    """Returns the boxes of red cells in pixels of the picture."""
    size = float(CELL * factor)
    return {(column * size, row * size, (column + 1) * size, (row + 1) * size) for column, row in cells}


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def address(server: RunningServer, protocol: Protocol) -> str:
    return server.grpc_url if protocol == "grpc" else server.http_url


def connect(server: RunningServer, protocol: Protocol = "grpc", version: str = "", **options: Any) -> SignClient:
    """Returns a client that asks once, so that what the server counts is what the test asked."""
    options = {"retries": 0, **options}
    return SignClient(address(server, protocol), protocol, recognizer=f"sign_recognizer/{version}", **options)


def scrape(server: RunningServer) -> dict[str, float]:
    """Returns the server's metrics: `name{labels}` to value."""
    with urllib.request.urlopen(server.metrics_url) as response:
        text = response.read().decode()
    return {series: float(value) for series, value in re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}
