"""How each server is asked over HTTP, and whether what it answers is right."""

import base64
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from traffic_sign_client.errors import ClientError

Task = Literal["classify", "recognize"]
TASKS: tuple[Task, ...] = ("classify", "recognize")

TOLERANCE = 1e-3  # of a probability or a score
BOX_TOLERANCE = 0.5  # pixels of the photograph


@dataclass(frozen=True)
class Exchange:
    """How the bytes of an image get to a server, and those of an answer back.

    Attributes:
        path: of the endpoint.
        content_type: of the request.
        headers: more of them, by name.
        wrap: maps the bytes of an image to the body of a request.
        unwrap: maps head and body of a response to the bytes of the answer.
    """

    path: str
    content_type: str = "application/octet-stream"
    headers: tuple[tuple[str, str], ...] = ()
    wrap: Callable[[bytes], bytes] = bytes
    unwrap: Callable[[bytes, bytes], bytes] = lambda _, body: body

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
    """Triton's raw binary request, which holds one tensor and nothing else, and its binary answer.

    Args:
        model: name of a model with one input.
        name: of that input, where a shape is given.
        shape: of the tensor of bytes, which goes before it as JSON; () for a batch of one, which Triton assumes.
    """
    path, before = f"/v2/models/{model}/infer", b""
    if shape:
        size = {"binary_data_size": math.prod(shape)}
        tensor = {"name": name, "datatype": "UINT8", "shape": shape, "parameters": size}
        before = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = (("Inference-Header-Content-Length", str(len(before))),)
    return Exchange(path, headers=headers, wrap=lambda image: before + image, unwrap=_unwrap_triton)


def _unwrap_triton(head: bytes, body: bytes) -> bytes:
    """Returns the only tensor of an answer as it is, and of the recognizer's six the JSON that the others answer."""
    length = len(body)
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"inference-header-content-length":
            length = int(value)
    outputs = {each["name"]: each for each in json.loads(body[:length])["outputs"]}
    start, tensors = length, {}
    for name, each in outputs.items():
        size = each.get("parameters", {}).get("binary_data_size")
        if size is None:
            dtype = {"FP32": np.float32, "INT32": np.int32}.get(each["datatype"], np.object_)
            tensors[name] = np.array(each["data"], dtype).reshape(each["shape"])
        else:
            part, start = body[start : start + size], start + size
            if each["datatype"] != "BYTES":
                dtype = {"FP32": np.float32, "INT32": np.int32}[each["datatype"]]
                tensors[name] = np.frombuffer(part, dtype).reshape(each["shape"])
    if "probabilities" in tensors:
        return bytes(tensors["probabilities"].astype(np.float32).tobytes())
    columns = (tensors[name][0].tolist() for name in ("boxes", "detection_scores", "class_ids", "class_scores"))
    names = ("box", "score", "class_id", "class_score")
    signs = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return json.dumps({"signs": signs}).encode()


def difference(task: Task, answer: bytes, expected: bytes) -> float:
    """Returns by how much an answer differs at most from the right one.

    Args:
        task: that both answer.
        answer: of a server.
        expected: of ONNX Runtime in process.

    Returns:
        The largest difference of a probability or a score.

    Raises:
        ClientError: it is something else altogether, such as other signs; the message says what.
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
    """Compares signs that stand at the same place, whatever the order of equally sure ones."""
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
