"""How each server is called over HTTP, and whether its answers are right."""

import base64
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from clients.benchmark.peers.common.signs_models import write_signs
from traffic_sign_client.errors import ClientError

Task = Literal["classify", "recognize"]
TASKS: tuple[Task, ...] = ("classify", "recognize")

# Of a probability or a score; a sign's box moves by hundredths of a pixel, and with it the crop that is classified.
TOLERANCES: dict[Task, float] = {"classify": 1e-3, "recognize": 1e-2}
BOX_TOLERANCE = 0.5  # pixels of the photograph
SIGN_OUTPUTS = ("boxes", "detection_scores", "class_ids", "class_scores")  # of Triton's recognizer


@dataclass(frozen=True)
class Exchange:
    """How a server is called."""

    path: str
    content_type: str = "application/octet-stream"
    headers: tuple[tuple[str, str], ...] = ()  # in addition
    wrap: Callable[[bytes], bytes] = bytes  # makes the body of a request of an image
    unwrap: Callable[[bytes, bytes], bytes] = lambda _, body: body  # finds the answer in head and body of a response

    def request(self, image: bytes, host: str, port: int) -> bytes:
        """Returns a whole HTTP request for an image."""
        body = self.wrap(image)
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: {host}:{port}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def raw() -> Exchange:
    """The bytes as they are, both ways."""
    return Exchange("/answer")


def bentoml() -> Exchange:
    """BentoML's JSON: a list of one, which its batching joins with others."""
    return Exchange(
        "/answer",
        "application/json",
        wrap=lambda image: json.dumps({"bodies": [base64.b64encode(image).decode()]}).encode(),
        unwrap=lambda _, body: base64.b64decode(json.loads(body)[0]),
    )


def mlserver() -> Exchange:
    """MLServer's JSON: the Open Inference Protocol, which it reads without the binary extension."""

    def wrap(image: bytes) -> bytes:
        data = base64.b64encode(image).decode()
        tensor = {"name": "bodies", "datatype": "BYTES", "shape": [1, 1], "parameters": {"content_type": "base64"}}
        return json.dumps({"inputs": [{**tensor, "data": [data]}]}).encode()

    return Exchange(
        "/v2/models/signs/infer",
        "application/json",
        wrap=wrap,
        unwrap=lambda _, body: base64.b64decode(json.loads(body)["outputs"][0]["data"][0]),
    )


def triton(model: str, name: str = "", shape: tuple[int, ...] = ()) -> Exchange:
    """Triton's raw binary request to a model of one input, and its binary answer.

    A batch of more than one needs the input's name and the shape of the tensor, which are sent before it as JSON.
    """
    path, before = f"/v2/models/{model}/infer", b""
    if shape:
        size = {"binary_data_size": math.prod(shape)}
        tensor = {"name": name, "datatype": "UINT8", "shape": shape, "parameters": size}
        before = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = (("Inference-Header-Content-Length", str(len(before))),)
    return Exchange(path, headers=headers, wrap=lambda image: before + image, unwrap=_unwrap_triton)


def _unwrap_triton(head: bytes, body: bytes) -> bytes:
    """Returns the probabilities of an answer, or the recognizer's tensors as the JSON that the others answer."""
    from tritonclient.http import InferResult

    length = re.search(rb"(?i)^inference-header-content-length: *(\d+)", head, re.MULTILINE)
    result = InferResult.from_response_body(body, header_length=int(length[1]) if length else None)
    probabilities = result.as_numpy("probabilities")
    if probabilities is not None:
        return bytes(probabilities.tobytes())
    return write_signs(*(result.as_numpy(name)[0] for name in SIGN_OUTPUTS))


def difference(task: Task, answer: bytes, expected: bytes) -> float:
    """Returns the largest difference of a probability or a score between a server's answer and ONNX Runtime's.

    Raises:
        ClientError: the answers cannot be compared, such as other signs.
    """
    try:
        if task == "classify":
            return _difference_of_rows(np.frombuffer(answer, np.float32), np.frombuffer(expected, np.float32))
        return _difference_of_signs(json.loads(answer)["signs"], json.loads(expected)["signs"])
    except (ValueError, KeyError, TypeError) as error:
        raise ClientError(f"the answer cannot be read ({type(error).__name__}: {error}): {answer[:100]!r}") from error


def _difference_of_rows(found: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> float:
    if found.shape != wanted.shape:
        raise ClientError(f"the answer has {found.size} probabilities, not {wanted.size}")
    worst = float(np.abs(found - wanted).max())
    return worst if worst == worst else float("inf")


def _difference_of_signs(found: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> float:
    """Compares the signs at the same places, in any order, because equal scores have none."""
    if len(found) != len(wanted):
        raise ClientError(f"the answer has {len(found)} signs, not {len(wanted)}")
    left, worst = list(found), 0.0
    for sign in wanted:
        near = min(left, key=lambda each: _distance(each["box"], sign["box"]))
        if _distance(near["box"], sign["box"]) > BOX_TOLERANCE:
            raise ClientError(f"the answer has no sign at {sign['box']}")
        left.remove(near)
        if near["class_id"] != sign["class_id"]:
            raise ClientError(f"the sign at {sign['box']} is {near['class_id']}, not {sign['class_id']}")
        worst = max(worst, *(abs(near[name] - sign[name]) for name in ("score", "class_score")))
    return worst


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
