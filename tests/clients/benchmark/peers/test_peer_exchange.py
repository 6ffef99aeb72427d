"""How each server is asked, and how answers are compared."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from clients.benchmark.peers import exchange
from clients.benchmark.peers.exchange import difference
from traffic_sign_client.errors import ClientError

HEAD = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: %d"


def test_a_request_is_whole() -> None:
    request = exchange.raw().request(b"image", "127.0.0.1", 8000)
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /answer HTTP/1.1"
    assert b"Content-Length: 5" in head.splitlines()
    assert body == b"image"


def test_json_servers_get_base64() -> None:
    bento, ml = exchange.bentoml(), exchange.mlserver()
    assert base64.b64decode(json.loads(bento.wrap(b"\x00\xff"))["bodies"][0]) == b"\x00\xff"
    assert base64.b64decode(json.loads(ml.wrap(b"\x00\xff"))["inputs"][0]["data"][0]) == b"\x00\xff"
    answer = base64.b64encode(b"\x01\x02").decode()
    assert bento.unwrap(b"", json.dumps([answer]).encode()) == b"\x01\x02"
    assert ml.unwrap(b"", json.dumps({"outputs": [{"data": [answer]}]}).encode()) == b"\x01\x02"


@pytest.mark.parametrize("binary", [True, False])
def test_triton_answers_in_binary_or_in_json(binary: bool) -> None:
    row = np.array([[0.25, 0.75]], np.float32)
    output: dict[str, Any] = {"name": "probabilities", "datatype": "FP32", "shape": [1, 2]}
    output |= {"parameters": {"binary_data_size": 8}} if binary else {"data": [0.25, 0.75]}
    text = json.dumps({"model_name": "sign_classifier", "outputs": [output]}).encode()
    body = text + (row.tobytes() if binary else b"")
    head = HEAD % len(text) if binary else b"HTTP/1.1 200 OK"
    assert exchange.triton("sign_classifier").unwrap(head, body) == row.tobytes()


def test_the_recognizers_tensors_become_signs() -> None:
    outputs = [
        {"name": "boxes", "datatype": "FP32", "shape": [1, 1, 4], "data": [1, 2, 3, 4]},
        {"name": "detection_scores", "datatype": "FP32", "shape": [1, 1], "data": [0.5]},
        {"name": "class_ids", "datatype": "INT32", "shape": [1, 1], "data": [14]},
        {"name": "class_scores", "datatype": "FP32", "shape": [1, 1], "data": [0.25]},
        {"name": "names", "datatype": "BYTES", "shape": [1, 1], "data": ["stop"]},
    ]
    answer = exchange.triton("sign_recognizer").unwrap(b"", json.dumps({"outputs": outputs}).encode())
    assert json.loads(answer) == {"signs": [{"box": [1, 2, 3, 4], "score": 0.5, "class_id": 14, "class_score": 0.25}]}


def sign(left: float, class_id: int = 14, score: float = 0.5) -> dict[str, Any]:
    return {"box": [left, 2.0, left + 20, 22.0], "score": score, "class_id": class_id, "class_score": 0.75}


def signs(*each: dict[str, Any]) -> bytes:
    return json.dumps({"signs": each}).encode()


def test_differences_are_those_of_the_worst_figure() -> None:
    row = np.array([0.25, 0.75], np.float32)
    assert difference("classify", row.tobytes(), row.tobytes()) == 0
    assert difference("classify", (row + np.float32(0.125)).tobytes(), row.tobytes()) == pytest.approx(0.125)
    assert difference("classify", np.full(2, np.nan, np.float32).tobytes(), row.tobytes()) == float("inf")
    # In another order, as equally sure ones may be.
    assert difference("recognize", signs(sign(100, score=0.51), sign(1)), signs(sign(1), sign(100))) == pytest.approx(
        0.01
    )
    assert difference("recognize", signs(), signs()) == 0


@pytest.mark.parametrize(
    ("task", "answer", "expected", "message"),
    [
        ("classify", bytes(8), bytes(4), "2 probabilities, not 1"),
        ("classify", bytes(3), bytes(4), "cannot be read"),
        ("recognize", b"{}", signs(), "cannot be read"),
        ("recognize", b"nonsense", signs(), "cannot be read"),
        ("recognize", signs(), signs(sign(1)), "0 signs, not 1"),
        ("recognize", signs(sign(5)), signs(sign(1)), "no sign at"),
        ("recognize", signs(sign(1, class_id=13)), signs(sign(1)), "is 13, not 14"),
    ],
)
def test_other_answers_are_named(task: Any, answer: bytes, expected: bytes, message: str) -> None:
    with pytest.raises(ClientError, match=message):
        difference(task, answer, expected)
