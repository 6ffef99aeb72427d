"""A real gateway process before a real tritonserver: what it answers where all is well."""

import http.client
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.server import RunningServer
from tests.end_to_end.street import HEIGHT, WIDTH, boxes_of, encode, street
from tests.running_gateway import RunningGateway, form, running_gateway
from traffic_sign_client import SignClient
from traffic_signs.classes import CLASS_NAMES
from traffic_signs.preprocessing import decode, resize
from training.data.feedback import load_feedback

pytestmark = pytest.mark.end_to_end

CELLS = [(2, 2), (9, 5)]
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback") / "taken"


@pytest.fixture(scope="module")
def gateway(recognizer_server: RunningServer, feedback: Path) -> Iterator[RunningGateway]:
    options = ("--feedback", str(feedback), "--feedback-reserve", "0", "--timeout", "60", "--log-level", "debug")
    with running_gateway(recognizer_server.grpc_url, *options) as running:
        yield running


def test_a_photograph_is_answered_as_predict_prints_it(
    gateway: RunningGateway, recognizer_server: RunningServer
) -> None:
    data = encode(street(CELLS))
    with SignClient(recognizer_server.grpc_url) as client:
        expected = [json.loads(json.dumps(asdict(sign))) for sign in client.recognize(data)]

    for kind in ("image/png", "application/octet-stream", "image/jpeg; charset=x"):
        answer = gateway.ask("/v1/recognize", data, {"Content-Type": kind, "X-Request-ID": "tablet-7"})
        assert answer.status == 200 and answer.headers["X-Request-ID"] == "tablet-7"
        assert answer.json["signs"] == expected and len(expected) == len(CELLS)
    body = answer.json
    assert (body["image"], body["width"], body["height"], body["request_id"]) == (None, WIDTH, HEIGHT, "tablet-7")
    assert body["models"] == {"sign_recognizer": "1", "sign_detector": "1", "sign_classifier": "1"}
    timings = body["timings"]
    assert set(timings) == {"total_ms", "read_ms", "queue_ms", "triton_ms"}
    assert timings["total_ms"] >= timings["triton_ms"] > 0
    assert len(gateway.ask("/v1/recognize?score_threshold=0", data, PNG).json["signs"]) > len(CELLS)


def test_many_are_answered_in_their_order_and_one_that_cannot_be_read_has_its_error(gateway: RunningGateway) -> None:
    cells = [[(column, 3)] for column in range(6)]
    parts = [("image", f"{number}.png", encode(street(each))) for number, each in enumerate(cells)]
    parts[2] = ("image", "text.png", b"no picture")
    answer = gateway.ask("/v1/recognize", *form(*parts))
    results = answer.json["results"]
    assert answer.status == 200 and [each["image"] for each in results] == [name for _, name, _ in parts]
    assert results[2]["error"]["status"] == 400 and "not an image" in results[2]["error"]["detail"]
    for number in {0, 1, 3, 4, 5}:
        assert {tuple(sign["box"]) for sign in results[number]["signs"]} == boxes_of(cells[number])


def test_a_form_of_one_picture_is_answered_like_the_picture_alone(gateway: RunningGateway) -> None:
    answer = gateway.ask("/v1/recognize", *form(("image", "strasse ä.png", encode(street(CELLS)))))
    assert answer.json["image"] == "strasse ä.png" and len(answer.json["signs"]) == len(CELLS)
    damaged = gateway.ask("/v1/recognize", *form(("image", "half.png", encode(street(CELLS))[:3000])))
    assert damaged.status == 400 and "damaged" in damaged.json["detail"]
    large = gateway.ask("/v1/recognize", *form(("image", "large.ppm", b"P6 60000 60000 255\n")))
    assert large.status == 413 and "60000x60000" in large.json["detail"]


def test_the_size_is_that_of_the_upright_picture(gateway: RunningGateway) -> None:
    """A camera on its side: the recognizer turns it as EXIF says, and its boxes lie in the turned picture."""
    lying = street(CELLS).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    for form_, kind in (("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")):
        buffer = io.BytesIO()
        lying.save(buffer, form_, exif=exif, quality=95)
        body = gateway.ask("/v1/recognize", buffer.getvalue(), {"Content-Type": kind}).json
        assert (body["width"], body["height"]) == (WIDTH, HEIGHT), form_
        assert {tuple(sign["box"]) for sign in body["signs"]} == boxes_of(CELLS), form_


def test_pictures_of_one_sign_are_classified_as_the_client_does(
    gateway: RunningGateway, recognizer_server: RunningServer
) -> None:
    pictures = [encode(street([(1, 1)]).crop((20, 20, 90 + 7 * number, 90)), "PNG") for number in range(3)]

    with SignClient(recognizer_server.grpc_url) as client:
        size = client.input_size()
        expected = client.classify(np.stack([resize(decode(each), size) for each in pictures]), 4)

    one = gateway.ask("/v1/classify?k=4", pictures[0], PNG)
    assert one.json["classes"] == [asdict(each) for each in expected[0]]
    assert (one.json["width"], one.json["height"]) == (70, 70)
    parts = [("image", f"{number}.png", each) for number, each in enumerate(pictures)]
    many = gateway.ask("/v1/classify?k=4", *form(*parts, ("image", "bad.png", b"bad"))).json["results"]
    assert [each.get("classes") for each in many] == [[asdict(each) for each in row] for row in expected] + [None]
    assert many[3]["error"]["status"] == 400
    assert len(gateway.ask("/v1/classify", pictures[0], PNG).json["classes"]) == 5


def test_it_is_alive_and_ready(gateway: RunningGateway) -> None:
    assert gateway.ask("/healthz").status == 200
    ready = gateway.ask("/readyz")
    assert ready.status == 200 and ready.json["models"] == {
        "sign_recognizer": True,
        "sign_detector": True,
        "sign_classifier": True,
    }


def test_feedback_is_stored(gateway: RunningGateway, feedback: Path) -> None:
    data = encode(street(CELLS), "JPEG", quality=90)
    answered = gateway.ask("/v1/recognize", data, {"Content-Type": "image/jpeg"}).json
    correction: dict[str, Any] = {
        "signs": [{"box": answered["signs"][0]["box"], "class_id": 14}],
        "request_id": answered["request_id"],
        "answered": answered["signs"],
        "models": answered["models"],
        "comment": "Stoppschild, verdeckt \N{HORIZONTAL TRAFFIC LIGHT}",
    }
    body, headers = form(("image", "street.jpg", data), ("feedback", None, json.dumps(correction).encode()))
    answer = gateway.ask("/v1/feedback", body, headers)
    assert answer.status == 201, answer.body
    entry = feedback / answer.json["id"]
    assert sorted(path.name for path in entry.iterdir()) == ["feedback.json", "image.jpg"]
    assert (entry / "image.jpg").read_bytes() == data
    stored = json.loads((entry / "feedback.json").read_text())
    assert stored.pop("received").endswith("+00:00")
    assert [each["name"] for each in stored.pop("classes")] == list(CLASS_NAMES)
    correction["signs"][0]["name"] = "stop"
    assert stored == {"schema": 2, "id": entry.name, **correction}
    (box,) = next(each for each in load_feedback(feedback).samples if entry.name in each.image).boxes
    assert box.class_id == 14


def test_the_signs_are_listed(gateway: RunningGateway) -> None:
    classes = gateway.ask("/v1/classes").json
    assert [each["name"] for each in classes] == list(CLASS_NAMES)
    stop = {"class_id": 14, "name": "stop", "category": "other", "drawing": "static/pictograms/14.svg"}
    assert classes[14] == stop
    assert all(each["drawing"] for each in classes)


def test_a_model_that_is_neither_served_nor_needed_is_no_outage(
    gateway: RunningGateway, recognizer_server: RunningServer
) -> None:
    assert gateway.ask("/v1/models").json == {"recognizer": "1", "classifier": "1"}
    options = ("--recognizer", "no_recognizer", "--need", "sign_classifier", "--timeout", "60")
    with running_gateway(recognizer_server.grpc_url, *options) as alone:
        assert alone.ask("/v1/models").json == {"recognizer": None, "classifier": "1"}
        answer = alone.ask("/v1/recognize", encode(street(CELLS)), PNG)
        assert (
            answer.status == 404 and answer.json["type"] == "/docs#not-offered" and "Retry-After" not in answer.headers
        )
        counts = alone.ask("/metrics").body.decode()
        for outcome, count in (("client_error", 1), ("upstream_error", 0)):
            assert f'requests_total{{outcome="{outcome}",route="/v1/recognize"}} {count}.0' in counts
        assert 'upstream_failures_total{reason="unknown_model"} 0.0' in counts
    pinned = ("--recognizer", "sign_recognizer/7", "--need", "sign_classifier", "--timeout", "60")
    with running_gateway(recognizer_server.grpc_url, *pinned) as fresh, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: fresh.ask("/v1/models"), range(4)))
        assert [each.json for each in answers] == 4 * [{"recognizer": None, "classifier": "1"}]


def test_head_is_answered_as_get_without_the_body(gateway: RunningGateway) -> None:
    """Balancers and monitors ask so."""
    host = gateway.url.removeprefix("http://")
    for path, status in (
        *((each, 200) for each in ("/healthz", "/readyz", "/metrics", "/v1/classes", "/docs", "/openapi.json", "/")),
        ("/nothing", 404),
        ("/v1/recognize", 405),
    ):
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        assert answer.headers["Content-Type"] == gateway.ask(path).headers["Content-Type"]
        connection.close()


def test_a_photograph_with_a_second_picture_is_recognized_and_stored_as_jpeg(
    gateway: RunningGateway, feedback: Path
) -> None:
    """Phones and cameras write them: a preview, a depth map, the other eye."""
    buffer, photograph = io.BytesIO(), street(CELLS)
    photograph.save(buffer, "MPO", save_all=True, append_images=[photograph.resize((40, 30))], quality=95)
    data = buffer.getvalue()
    assert len(gateway.ask("/v1/recognize", data, {"Content-Type": "image/jpeg"}).json["signs"]) == len(CELLS)
    answer = gateway.ask("/v1/feedback", *form(("image", "a.jpg", data), ("feedback", None, b'{"signs": []}')))
    assert answer.status == 201
    entry = feedback / answer.json["id"]
    assert (entry / "image.jpg").read_bytes() == data
    assert entry.name in {Path(each.image).parent.name for each in load_feedback(feedback).samples}
