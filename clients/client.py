"""The client of the classifier: pictures of one sign each in, classes out, over gRPC or HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clients.connection import ModelClient, Protocol
from clients.errors import ClientError

INPUT, OUTPUT = "images", "probabilities"


@dataclass(frozen=True)
class Prediction:
    """One class that an image may show: its id, name and probability."""

    class_id: int
    name: str
    score: float


class SignClient(ModelClient):
    """Talks to the sign classifier on a Triton server.

    >>> with SignClient("localhost:8001") as client:
    ...     crops = np.zeros((1, client.input_size, client.input_size, 3), np.uint8)
    ...     best = client.classify(crops)[0][0]
    ...     print(best.name, best.score)

    Args:
        url: host:port of the server, without a scheme.
        protocol: "grpc" or "http"; each has its own port.
        model: name of the classifier on the server.
        version: of the model; the server's choice where it is empty.
        timeout: seconds to wait for an answer.

    Raises:
        ClientError: the server cannot be reached, or does not serve the model.
    """

    def __init__(
        self,
        url: str = "localhost:8001",
        protocol: Protocol = "grpc",
        model: str = "sign_classifier",
        version: str = "",
        timeout: float = 30.0,
    ) -> None:
        super().__init__(url, protocol, model, version, timeout)
        self.input_size, self.max_batch = self._describe()

    def probabilities(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Classifies images and returns every class's probability.

        Args:
            images: uint8 [n, input_size, input_size, 3], RGB; any n, sent in batches the server takes.

        Returns:
            float32 [n, classes].

        Raises:
            ClientError: the images have another shape or type, or the server refused or did not answer.
        """
        results = [self._infer(batch).as_numpy(OUTPUT) for batch in self._batches(images)]
        return np.concatenate(results)

    def classify(self, images: npt.NDArray[np.uint8], top: int = 3) -> list[list[Prediction]]:
        """Classifies images and returns the `top` most probable classes of each, best first, with their names.

        The names are the server's own: they come from the model's labels.
        Arguments and errors are those of `probabilities`.
        """
        predictions: list[list[Prediction]] = []
        for batch in self._batches(images):
            rows: Sequence[Sequence[bytes]] = self._infer(batch, class_count=top).as_numpy(OUTPUT)
            predictions.extend([_parse(entry) for entry in row] for row in rows)
        return predictions

    def _batches(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected or images.dtype != np.uint8 or not len(images):
            raise ClientError(
                f"images are {images.dtype} {list(images.shape)}; the model takes uint8 [n, "
                f"{self.input_size}, {self.input_size}, 3] with n of 1 or more"
            )
        return [images[start : start + self.max_batch] for start in range(0, len(images), self.max_batch)]

    def _infer(self, batch: npt.NDArray[np.uint8], class_count: int = 0) -> Any:
        tensor = self._connection.tensor(INPUT, np.ascontiguousarray(batch), "UINT8")
        output = self._connection.output(OUTPUT, class_count)
        return self._connection.infer(self.model, self.version, [tensor], [output])

    def _describe(self) -> tuple[int, int]:
        config = self._connection.model_config(self.model, self.version)
        inputs = {entry["name"]: entry for entry in config["input"]}
        if INPUT not in inputs:
            url = self._connection.url
            raise ClientError(f"{self.model} at {url} takes {', '.join(inputs)}: it is not a sign classifier")
        return int(inputs[INPUT]["dims"][0]), max(1, int(config.get("max_batch_size", 0)))


def _parse(entry: bytes) -> Prediction:
    """Reads an answer of Triton's classification extension: `score:index:label`."""
    score, index, *label = entry.decode().split(":", 2)
    return Prediction(int(index), label[0] if label else str(index), float(score))
