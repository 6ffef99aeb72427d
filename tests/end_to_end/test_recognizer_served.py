"""What the recognizer answers on a real tritonserver: signs, and what is wrong with a request."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from export.config import to_text
from export.repository.policy import read_config
from export.repository.verification import verify
from serving.server import RunningServer
from tests.end_to_end.street import HEIGHT, PROTOCOLS, WIDTH, boxes_of, connect, encode, scrape, street
from tests.fixture_types import Serve
from tests.training.data.real_data import GTSDB, NEEDS_GTSDB
from traffic_sign_client import Sign, SignClient
from traffic_sign_client.answers import encoded
from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import RefusedError
from traffic_signs.preprocessing import crop, decode

pytestmark = pytest.mark.end_to_end

CELLS = [(1, 1), (5, 3), (12, 8)]


@pytest.fixture(scope="module")
def batching_server(
    serve: Serve, recognizer_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A real tritonserver with one process of the recognizer as beside a GPU, where it takes several requests."""
    repository = tmp_path_factory.mktemp("batching") / "models"
    shutil.copytree(recognizer_repository, repository)
    folder = repository / "sign_recognizer"
    config = read_config((folder / "configs" / "gpu.pbtxt").read_bytes(), "")
    config.instance_group[0].count = 1
    (folder / "config.pbtxt").write_text(to_text(config))
    return serve(repository)


def boxes(signs: list[Sign]) -> set[tuple[float, float, float, float]]:
    return {sign.box for sign in signs}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("factor", [1, 3])
def test_signs_are_found_and_named_as_the_classifier_names_their_crops(
    recognizer_server: RunningServer, protocol: Protocol, factor: int
) -> None:
    """The crops are cut here with the training's own function, and sent to the classifier directly."""
    data = encode(street(CELLS, factor))
    with connect(recognizer_server, protocol) as client:
        signs = client.recognize(data)

    assert boxes(signs) == boxes_of(CELLS, factor)
    assert [sign.score for sign in signs] == sorted((sign.score for sign in signs), reverse=True)
    assert {sign.category for sign in signs} == {"danger"}
    crops = np.stack([crop(decode(data), sign.box, 48) for sign in signs])
    with SignClient(recognizer_server.grpc_url) as classifier:
        expected = [best for (best,) in classifier.classify(crops, top=1)]
    assert [(sign.class_id, sign.name) for sign in signs] == [(best.class_id, best.name) for best in expected]
    assert [sign.class_score for sign in signs] == pytest.approx([best.score for best in expected], abs=1e-4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_scene_without_signs_has_an_empty_answer(recognizer_server: RunningServer, protocol: Protocol) -> None:
    with connect(recognizer_server, protocol) as client:
        assert client.recognize(encode(street([]))) == []


def test_an_empty_answer_keeps_its_shapes(recognizer_server: RunningServer) -> None:
    for triton, url in (
        (tritonclient.grpc, recognizer_server.grpc_url),
        (tritonclient.http, recognizer_server.http_url),
    ):
        client = triton.InferenceServerClient(url)
        tensor = triton.InferInput("image", (1, 1), "BYTES")
        tensor.set_data_from_numpy(encoded(encode(street([]))))
        answer = client.infer("sign_recognizer", [tensor])
        client.close()
        assert answer.as_numpy("boxes").shape == (1, 0, 4)
        for name in ("detection_scores", "categories", "class_ids", "class_scores", "names"):
            assert answer.as_numpy(name).shape == (1, 0)


def test_what_was_served_is_still_what_was_published(
    recognizer_server: RunningServer, recognizer_repository: Path
) -> None:
    """The server's Python has run the files of the recognizer, and left no cache beside them."""
    assert not [path for path in recognizer_repository.rglob("*") if "cache" in path.name]
    assert [problem for check in verify(recognizer_repository) for problem in check.problems] == []


def test_a_photograph_lying_on_its_side_is_answered_as_people_see_it(recognizer_server: RunningServer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show"
    lying = street(CELLS).transpose(Image.Transpose.ROTATE_90)
    with connect(recognizer_server) as client:
        signs = client.recognize(encode(lying, "JPEG", quality=95, exif=exif))
    assert boxes(signs) == boxes_of(CELLS)


@pytest.mark.parametrize(
    ("form", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 95}),
        ("JPEG", "CMYK", {"quality": 95}),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("PPM", "RGB", {}),
        ("WEBP", "RGB", {"quality": 95}),
        ("BMP", "RGB", {}),
    ],
)
def test_every_kind_of_picture_shows_the_same_signs(
    recognizer_server: RunningServer, form: str, mode: str, options: dict[str, Any]
) -> None:
    with connect(recognizer_server) as client:
        assert boxes(client.recognize(encode(street(CELLS).convert(mode), form, **options))) == boxes_of(CELLS)


def test_16_bits_and_grey_are_answered(recognizer_server: RunningServer) -> None:
    pixels = np.asarray(street(CELLS), dtype=">u2") * 257
    deep = b"P6 %d %d 65535\n" % (WIDTH, HEIGHT) + pixels.astype(">u2").tobytes()
    deep_grey = encode(Image.fromarray(pixels[..., 0].astype(np.uint16)))
    with connect(recognizer_server) as client:
        assert boxes(client.recognize(deep)) == boxes_of(CELLS)
        for grey in (deep_grey, encode(street(CELLS).convert("L")), encode(street(CELLS).convert("1"))):
            assert client.recognize(grey) == [], "without colour there is no red"


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (680, 400), (681, 401), (5000, 3000)])
def test_every_size_is_answered(recognizer_server: RunningServer, size: tuple[int, int]) -> None:
    with connect(recognizer_server) as client:
        signs = client.recognize(encode(Image.new("RGB", size, (230, 20, 25)), "JPEG"))
    for left, top, right, bottom in boxes(signs):
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    assert bool(signs) == (size not in ((1, 1), (3000, 1), (1, 3000))), "a line is less than a cell"


def test_more_signs_than_the_classifier_takes_at_once(recognizer_server: RunningServer) -> None:
    cells = [(column, row) for column in range(16) for row in range(5)]
    with connect(recognizer_server) as client:
        signs = client.recognize(encode(street(cells)))
    assert len(signs) == 80 > 64
    assert boxes(signs) == boxes_of(cells)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_request_may_choose_its_threshold(recognizer_server: RunningServer, protocol: Protocol) -> None:
    image = street([(3, 3)])
    half = np.asarray(image).copy()
    half[40:60, 40:80] = (230, 20, 25)  # half a cell: a score of 0.5
    data = encode(Image.fromarray(half))
    with connect(recognizer_server, protocol) as client:
        assert len(client.recognize(data)) == 2
        assert len(client.recognize(data, 0.6)) == 1
        assert len(client.recognize(data, 0.0)) == 100
        with pytest.raises(RefusedError, match=r"score_threshold is .* give a number from 0 to 1"):
            client.recognize(data, 1.5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_sign_below_the_class_score_asked_for_is_unknown(
    recognizer_server: RunningServer, protocol: Protocol
) -> None:
    data = encode(street(CELLS))
    with connect(recognizer_server, protocol) as client:
        named = client.recognize(data)
        middle = sorted(sign.class_score for sign in named)[1]
        answer = client.recognize(data, unknown_threshold=middle - 1e-6)
        with pytest.raises(RefusedError, match=r"unknown_threshold is .* give a number from 0 to 1"):
            client.recognize(data, unknown_threshold=-1)

    for before, after in zip(named, answer, strict=True):
        known = before.class_score > middle - 1e-6
        name = (before.class_id, before.name) if known else (-1, "unknown")
        assert after == replace(before, class_id=name[0], name=name[1])
    assert sum(sign.name == "unknown" for sign in answer) == sum(sign.class_score < middle - 1e-6 for sign in named)


BAD_IMAGES = {
    "empty": (b"", "not an image"),
    "text": (b"no image, only text\n" * 20, "not an image"),
    "gif": (b"GIF89a" + bytes(40), "not an image"),
    "truncated": (encode(street(CELLS), "JPEG")[:2000], "damaged"),
    "header alone": (encode(street(CELLS))[:60], "damaged"),
    "claims too much": (b"P6 60000 60000 255\n" + bytes(100), "too large"),
    "bomb": (encode(Image.new("1", (20_000, 20_000))), "too large"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_what_is_no_picture_is_refused_with_its_reason(
    recognizer_server: RunningServer, protocol: Protocol, name: str
) -> None:
    data, reason = BAD_IMAGES[name]
    with (
        connect(recognizer_server, protocol) as client,
        pytest.raises(RefusedError, match=rf"cannot be read.*{reason}"),
    ):
        client.recognize(data)


def test_two_images_in_one_request_are_refused(
    recognizer_server: RunningServer, batching_server: RunningServer
) -> None:
    tensor = tritonclient.grpc.InferInput("image", (2, 1), "BYTES")
    tensor.set_data_from_numpy(np.concatenate([encoded(encode(street(CELLS)))] * 2))
    for server, reason in (
        (recognizer_server, "batch-size must be <= 1"),
        (batching_server, "holds 2 images: send one image a request"),
    ):
        client = tritonclient.grpc.InferenceServerClient(server.grpc_url)
        with pytest.raises(InferenceServerException, match=reason):
            client.infer("sign_recognizer", [tensor])
        client.close()


def test_what_does_not_fit_the_input_is_refused_by_triton(recognizer_server: RunningServer) -> None:
    client = tritonclient.grpc.InferenceServerClient(recognizer_server.grpc_url)
    for shape, datatype, kind in (((1, 1), "UINT8", np.uint8), ((1, 1), "FP32", np.float32), ((1,), "BYTES", object)):
        tensor = tritonclient.grpc.InferInput("image", shape, datatype)
        tensor.set_data_from_numpy(np.full(shape, b"x" if kind is object else 0, dtype=kind))
        with pytest.raises(InferenceServerException, match=r"data-type|datatype|shape"):
            client.infer("sign_recognizer", [tensor])
    client.close()


def test_bytes_whose_length_is_a_lie_are_refused(recognizer_server: RunningServer) -> None:
    """A BYTES element is its length, 4 bytes, and then so many bytes; here there are fewer."""
    request = service_pb2.ModelInferRequest(model_name="sign_recognizer")
    request.inputs.add(name="image", datatype="BYTES", shape=[1, 1])
    request.raw_input_contents.append((1_000_000).to_bytes(4, "little") + b"short")
    client = tritonclient.grpc.InferenceServerClient(recognizer_server.grpc_url)
    with pytest.raises(Exception, match=r"(?i)incomplete|expected|size|length|bytes"):
        client._client_stub.ModelInfer(request, timeout=30)
    client.close()
    with connect(recognizer_server) as alive:
        assert boxes(alive.recognize(encode(street(CELLS)))) == boxes_of(CELLS)


def test_a_malformed_neighbour_harms_nobody(batching_server: RunningServer) -> None:
    """Many clients at once, so that requests share a batch; a third of them send what cannot be read."""
    pictures = [[(column, row) for row in range(index % 4)] for index, column in enumerate(range(16))]
    data = [encode(street(cells, seed=index)) for index, cells in enumerate(pictures)]
    bad = [content for content, _ in BAD_IMAGES.values()]
    before = scrape(batching_server)

    def ask(number: int) -> None:
        with connect(batching_server, PROTOCOLS[number % 2]) as client:
            for step in range(4):
                index = (number * 5 + step) % len(pictures)
                if (number + step) % 3 == 0:
                    with pytest.raises(RefusedError, match="cannot be read"):
                        client.recognize(bad[index % len(bad)])
                else:
                    assert boxes(client.recognize(data[index])) == boxes_of(pictures[index])

    with ThreadPoolExecutor(16) as pool:
        for finished in [pool.submit(ask, number) for number in range(16)]:
            finished.result()

    after = scrape(batching_server)
    series = '{model="sign_recognizer",version="1"}'
    asked, runs = (
        after[f"nv_inference_{name}{series}"] - before[f"nv_inference_{name}{series}"]
        for name in ("count", "exec_count")
    )
    assert asked == 64 and runs < asked, "no request shared a batch: the test has shown nothing"


@pytest.mark.parametrize("scene", [pytest.param("00000", marks=NEEDS_GTSDB), pytest.param("00605", marks=NEEDS_GTSDB)])
def test_a_real_scene_is_answered_the_same_in_both_protocols(recognizer_server: RunningServer, scene: str) -> None:
    import zipfile

    with zipfile.ZipFile(GTSDB) as archive:
        data = archive.read(f"FullIJCNN2013/{scene}.jpg")
    answers = []
    for protocol in PROTOCOLS:
        with connect(recognizer_server, protocol) as client:
            answers.append(client.recognize(data, 0.0))
    assert answers[0] == answers[1] and len(answers[0]) == 100
    for sign in answers[0]:
        left, top, right, bottom = sign.box
        assert 0 <= left < right <= 1360 and 0 <= top < bottom <= 800
