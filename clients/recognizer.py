"""The client of the recognizer: an encoded photograph in, its signs out, over gRPC or HTTP."""

from dataclasses import dataclass
from typing import Any

from clients.connection import ModelClient, Protocol, encoded
from clients.errors import ClientError, UnknownModelError

INPUT = "image"
OUTPUTS = ("boxes", "detection_scores", "categories", "class_ids", "class_scores", "names")


@dataclass(frozen=True)
class Sign:
    """One sign of a photograph.

    Attributes:
        box: left, top, right, bottom in pixels of the photograph as people see it (turned as its EXIF says),
            exclusive on the right and bottom.
        score: how sure the detector is, 0 to 1.
        category: what kind of sign the detector sees: prohibitory, mandatory, danger or other.
        class_id: which of the 43 signs the classifier sees.
        class_score: how sure it is, 0 to 1.
        name: of that class.
    """

    box: tuple[float, float, float, float]
    score: float
    category: str
    class_id: int
    class_score: float
    name: str


class RecognizerClient(ModelClient):
    """Talks to the sign recognizer on a Triton server.

    >>> with RecognizerClient("localhost:8001") as client:
    ...     for sign in client.recognize(Path("street.jpg").read_bytes()):
    ...         print(sign.name, sign.box)

    Args:
        url: host:port of the server, without a scheme.
        protocol: "grpc" or "http"; each has its own port.
        model: name of the recognizer on the server.
        version: of the model; the server's choice where it is empty.
        timeout: seconds to wait for an answer.

    Raises:
        ClientError: the server cannot be reached, or does not serve the model.
    """

    def __init__(
        self,
        url: str = "localhost:8001",
        protocol: Protocol = "grpc",
        model: str = "sign_recognizer",
        version: str = "",
        timeout: float = 30.0,
    ) -> None:
        super().__init__(url, protocol, model, version, timeout)
        try:
            inputs = [entry["name"] for entry in self._connection.model_config(model, version)["input"]]
        except UnknownModelError as error:
            raise UnknownModelError(
                f"{url} has no {model}: publish one with `signs export recognizer` and start the server again, or "
                "ask its classifier about pictures of one sign each with `signs predict --crops`"
            ) from error
        if inputs != [INPUT]:
            raise ClientError(f"{model} at {url} takes {', '.join(inputs)}: it is not a sign recognizer")

    def recognize(self, image: bytes, score_threshold: float | None = None) -> list[Sign]:
        """Finds and names the signs of a photograph.

        Args:
            image: content of a JPEG, PNG, PPM, WebP or BMP file.
            score_threshold: lowest detection score that counts, 0 to 1; the server's own where it is None.

        Returns:
            The signs, the surest detection first; none is an answer too.

        Raises:
            RefusedError: the server cannot read the image, or the threshold is no score.
            ClientError: the server failed or did not answer.
        """
        parameters = {} if score_threshold is None else {"score_threshold": f"{score_threshold:g}"}
        answer = self._connection.infer(
            self.model,
            self.version,
            [self._connection.tensor(INPUT, encoded(image), "BYTES")],
            [self._connection.output(name) for name in OUTPUTS],
            parameters,
        )
        return [_sign(*values) for values in zip(*(answer.as_numpy(name)[0] for name in OUTPUTS), strict=True)]


def _sign(box: Any, score: Any, category: bytes, class_id: Any, class_score: Any, name: bytes) -> Sign:
    left, top, right, bottom = (float(side) for side in box)
    return Sign(
        (left, top, right, bottom), float(score), category.decode(), int(class_id), float(class_score), name.decode()
    )
