"""What arrives in the tests of the monitoring: photographs of a camera that may be broken, sent to real gateways."""

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.end_to_end.street import encode, street
from tests.red_detector import CELL
from tests.running_gateway import RunningGateway
from training.data.pictograms import render
from training.data.records import Dataset, Sample

Camera = Literal["fine", "dusk", "broken"]

STOP = 14  # the sign with the most red in it, which is what the detector of red cells sees
PHOTOGRAPHS = 10
ROUTE, JPEG = "/v1/recognize", {"Content-Type": "image/jpeg"}
PAUSE_S = 0.1


def photographs(camera: Camera) -> list[bytes]:
    """Returns PHOTOGRAPHS files, of which all but the first have three stop signs.

    At dusk the streets are darker and the signs, in the headlights, are not. Of a broken camera three are files that
    end in the middle, and of the others every cell has one colour: as red as before, and no classifier is sure of it.
    """
    sign = render(STOP, CELL)
    cover = sign[..., 3:] / 255
    files = []
    for seed in range(PHOTOGRAPHS):
        pixels = np.asarray(street([], seed=seed)).copy()
        if camera == "dusk":
            pixels = (pixels * 0.6).astype(np.uint8)
        for column, row in [(1 + seed % 3, 2), (8, 1 + seed % 5), (13, 7)] if seed else []:
            place = pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            place[:] = (place * (1 - cover) + sign[..., :3] * cover).astype(np.uint8)
        if camera == "broken":
            pixels = _mosaic(pixels)
        files.append(encode(Image.fromarray(pixels), "JPEG", quality=95))
    if camera == "broken":
        files[7:] = [file[: len(file) // 2] for file in files[7:]]
    return files


def judged_on(scenes: int) -> Dataset:
    """Returns a data set of so many scenes, over and over those that a fine camera sends."""
    files = photographs("fine")
    samples = tuple(Sample(f"{number:05d}.jpg", "test", (), labelled=False) for number in range(scenes))
    return Dataset("gtsdb=drawn", samples, lambda sample: files[int(sample.image[:5]) % PHOTOGRAPHS])


def _mosaic(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows, columns = pixels.shape[0] // CELL, pixels.shape[1] // CELL
    cells = pixels[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL, 3)
    flat = pixels.copy()
    flat[: rows * CELL, : columns * CELL] = np.broadcast_to(
        np.median(cells, axis=(1, 3), keepdims=True).astype(np.uint8), cells.shape
    ).reshape(rows * CELL, columns * CELL, 3)
    return flat


class Traffic:
    """Sends photographs to each gateway, one after the other with pauses, until the block ends.

    Args:
        gateways: that are asked.
    """

    def __init__(self, gateways: Sequence[RunningGateway]) -> None:
        self._gateways = gateways
        self._camera: Camera = "fine"
        cameras: tuple[Camera, ...] = ("fine", "dusk", "broken")
        self._photographs = {camera: photographs(camera) for camera in cameras}
        self._running = contextlib.ExitStack()

    def __enter__(self) -> "Traffic":
        for gateway in self._gateways:
            self._running.enter_context(self.sending(gateway, 1, PAUSE_S))
        return self

    def __exit__(self, *exception: object) -> None:
        self._running.close()

    @contextlib.contextmanager
    def sending(self, gateway: RunningGateway, senders: int, pause_s: float) -> Iterator[None]:
        """Has so many more ask a gateway at once while the block runs, each with a pause after an answer."""
        stopping = threading.Event()

        def send() -> None:
            for number in itertools.count():
                if stopping.is_set():
                    return
                gateway.ask(ROUTE, self._photographs[self._camera][number % PHOTOGRAPHS], JPEG)
                stopping.wait(pause_s)

        threads = [threading.Thread(target=send) for _ in range(senders)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    @contextlib.contextmanager
    def seen_by(self, camera: Camera) -> Iterator[None]:
        """Sends what another camera sees while the block runs."""
        self._camera = camera
        try:
            yield
        finally:
            self._camera = "fine"
