"""Every error that the gateway answers by itself, without a Triton: a problem that says what to do."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from clients.gateway.app import make_app
from clients.gateway.settings import MEBIBYTE, Settings
from tests.running_gateway import form, running_gateway
from traffic_signs.settings import SettingError

PNG = {"Content-Type": "image/png"}
SIGN = b'{"signs": [{"box": [0, 0, 10, 10], "class_id": 4}]}'
NO_SIGN = b'{"signs": []}'
NOBODY = "127.0.0.1:9"  # the port of discard, on which nothing listens


def picture(kind: str = "PNG", width: int = 64, height: int = 48) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("feedback")
    settings = Settings(NOBODY, retries=0, max_upload=1, max_images=2, feedback=folder, feedback_reserve=0)
    with TestClient(make_app(settings)) as made:
        yield made


def problem(answer: Any, status: int, *words: str) -> None:
    """Fails unless an answer is a whole problem of a status whose detail has some words."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == status and problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"].startswith("/docs#") and all(word in problem["detail"] for word in words), problem
    assert ("retry-after" in answer.headers) == (status in (429, 502, 503, 504, 507))


@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/classify"])
@pytest.mark.parametrize(
    ("content", "headers", "status", "word"),
    [
        (b"x", {}, 415, "missing"),
        (b"x", {"Content-Type": "text/html"}, 415, "image/jpeg"),
        (b"x", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "octet-stream"),
        (b"", PNG, 400, "empty"),
        (bytes(MEBIBYTE + 1), PNG, 413, "smaller"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "boundary"),
        (b"x", {"Content-Type": "multipart/form-data; boundary=edge"}, 400, "multipart"),
        (*form(("image", None, b"x")), 400, "as a file"),
        (*form(("photo", "a.png", b"x")), 400, "image"),
        (*form(), 400, "image"),
        (*form(*[("image", "a.png", b"x")] * 3), 413, "at most 2"),
        (*form(*[("word", None, b"x")] * 9), 413, "at most 2"),
        (*form(("image", "a.png", bytes(MEBIBYTE))), 413, "smaller"),
        (form(("word", None, b"x"))[0], {"Content-Type": "multipart/form-data; boundary=edge; charset=zip"}, 400, ""),
    ],
)
def test_an_upload_that_cannot_be_read(
    client: TestClient, path: str, content: bytes, headers: dict[str, str], status: int, word: str
) -> None:
    problem(client.post(path, content=content, headers=headers), status, word)


def test_where_there_is_nothing_and_what_is_not_done(client: TestClient) -> None:
    problem(client.get("/nothing"), 404, "/docs")
    problem(client.get("/v1/classes/"), 404)
    problem(client.get("/v1/classes?k=3"), 422, "query.k")
    problem(client.get("/static/../../cli.py"), 404)
    problem(client.get("/static/%2e%2e/cli.py"), 404)
    answer = client.get("/v1/recognize")
    problem(answer, 405, "Allow")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "query", ["recognize?score_threshold=2", "recognize?score_threshold=nan", "classify?k=0", "classify?k=many"]
)
def test_a_query_that_does_not_fit(client: TestClient, query: str) -> None:
    problem(client.post(f"/v1/{query}", content=picture(), headers=PNG), 422, "query.")


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("recognize?threshold=0.5", "use score_threshold"),
        ("recognize?score_threshold=0.5&score_threshold=0.1", "more than once"),
        ("recognize?score_threshold=0.5&k=3", "use score_threshold"),
        ("classify?k=3&top=3", "use k"),
        ("feedback?k=3", "leave it out"),
    ],
)
def test_a_parameter_that_the_route_does_not_have(client: TestClient, query: str, advice: str) -> None:
    name = query.rpartition("&")[2].rpartition("?")[2].partition("=")[0]
    problem(client.post(f"/v1/{query}", content=picture(), headers=PNG), 422, f"query.{name}: ", advice)


def test_nobody_behind_it(client: TestClient) -> None:
    """It names no address of ours."""
    for path in ("/v1/recognize", "/v1/classify"):
        answer = client.post(path, content=picture(), headers=PNG)
        problem(answer, 503, "try again")
        assert NOBODY not in answer.text
    problem(client.get("/v1/classes"), 503, "the model server does not answer")
    problem(client.get("/v1/models"), 503, "try again")
    content, headers = form(("image", "a.png", picture()), ("feedback", None, SIGN))
    problem(client.post("/v1/feedback", content=content, headers=headers), 503, "try again")
    problem(client.get("/readyz"), 503, "sign_recognizer")
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"", "feedback"),
        (b"{", "feedback"),
        (b"[]", "feedback"),
        (b"{}", "signs"),
        (b'{"signs": [{"box": [0, 0, 10, 10], "class_id": -1}]}', "class_id"),
        (b'{"signs": [{"box": [0, 0, 10, 10], "class_id": "4"}]}', "class_id"),
        (b'{"signs": [{"box": [0, 0, 10, 10], "class_id": 4.5}]}', "class_id"),
        (b'{"signs": [{"box": [0, 0, 10, 10], "class_id": 4, "name": 4}]}', "name"),
        (b'{"signs": [{"box": [0, 0, 10], "class_id": 4}]}', "box"),
        (b'{"signs": [{"box": [0, 0, NaN, 10], "class_id": 4}]}', "box"),
        (b'{"signs": [{"box": [0, 0, 1e999, 10], "class_id": 4}]}', "box"),
        (b'{"signs": [{"box": [-1, 0, 10, 10], "class_id": 4}]}', "64"),
        (b'{"signs": [{"box": [0, 0, 65, 10], "class_id": 4}]}', "64"),
        (b'{"signs": [{"box": [0, 0, 10, 49], "class_id": 4}]}', "48"),
        (b'{"signs": [{"box": [10, 0, 10, 10], "class_id": 4}]}', "left < right"),
        (b'{"signs": [], "surprise": 1}', "surprise"),
        (b'{"signs": [], "comment": "' + b"x" * 2001 + b'"}', "comment"),
        (b"[" * 100_000, "feedback"),
        (b'{"signs": [' + SIGN[11:-2] + (b"," + SIGN[11:-2]) * 256 + b"]}", "signs"),
    ],
)
def test_feedback_that_does_not_fit(client: TestClient, text: bytes, word: str) -> None:
    for filename in (None, "feedback.json"):
        content, headers = form(("image", "a.png", picture()), ("feedback", filename, text))
        problem(client.post("/v1/feedback", content=content, headers=headers), 422, word)


@pytest.mark.parametrize(
    ("parts", "status", "word"),
    [
        ([("image", "a.png", b"no picture"), ("feedback", None, SIGN)], 400, "(10 bytes)"),
        ([("image", "a.png", picture()[:-30]), ("feedback", None, SIGN)], 400, "damaged"),
        ([("image", "a.png", picture())], 400, "two parts"),
        ([("feedback", None, SIGN)], 400, "two parts"),
        ([("image", "a.png", picture()), ("feedback", None, SIGN), ("x", None, b"")], 400, "two parts"),
        ([("image", "a.png", picture()), ("feedback", None, bytes(300_000))], 413, "Part exceeded"),
        ([("image", "a.png", bytes(MEBIBYTE)), ("feedback", None, SIGN)], 413, "smaller"),
    ],
)
def test_feedback_that_cannot_be_read(
    client: TestClient, parts: list[tuple[str, str | None, bytes]], status: int, word: str
) -> None:
    content, headers = form(*parts)
    problem(client.post("/v1/feedback", content=content, headers=headers), status, word)


@pytest.mark.parametrize("headers", [{}, PNG, {"Content-Type": "application/json"}])
def test_feedback_that_is_no_form(client: TestClient, headers: dict[str, str]) -> None:
    problem(client.post("/v1/feedback", content=SIGN, headers=headers), 415, "multipart/form-data")


def test_no_feedback_is_taken_without_a_folder_or_without_room(tmp_path: Path) -> None:
    content, headers = form(("image", "a.png", picture()), ("feedback", None, NO_SIGN))
    with TestClient(make_app(Settings(NOBODY))) as client:
        problem(client.post("/v1/feedback", content=content, headers=headers), 404, "--feedback")
    with TestClient(make_app(Settings(NOBODY, feedback=tmp_path, feedback_reserve=1 << 40))) as client:
        problem(client.post("/v1/feedback", content=content, headers=headers), 507, "disk")
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_claim_to_be_huge_are_not_decoded(client: TestClient) -> None:
    """A few bytes that claim hundreds of megabytes."""
    bomb = b"P6 20000 20000 255\n" + bytes(10)
    content, headers = form(("image", "a.ppm", bomb), ("feedback", None, SIGN))
    problem(client.post("/v1/feedback", content=content, headers=headers), 413, "scale it down")


def test_an_internal_error_is_answered_as_a_problem(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake is put in: nothing is known that makes one."""
    monkeypatch.setattr("clients.gateway.feedback.SCHEMA", object())
    content, headers = form(("image", "a.png", picture()), ("feedback", None, NO_SIGN))
    answer = client.post("/v1/feedback", content=content, headers=headers)
    problem(answer, 500, "log")
    assert "object" not in answer.text


def test_the_request_id_is_the_callers_where_it_is_well_formed(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "a.B-9_"}).headers["x-request-id"] == "a.B-9_"
    for bad in (b"", b"a b", b"a\x00", b"x" * 129, b'{"a":1}', b"\xfc"):
        request_id = client.get("/healthz", headers={b"X-Request-ID": bad}).headers["x-request-id"]
        assert request_id.encode() != bad and len(request_id) == 32


def test_security_headers_are_sent_to_browsers(client: TestClient) -> None:
    for path in ("/nothing", "/healthz", "/v1/classes"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "img-src 'self' blob: data:" in policy and "media-src blob:" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_other_sites_may_ask_only_where_they_are_let_in(client: TestClient) -> None:
    ask = {"Origin": "https://maps.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/v1/recognize", headers=ask).headers
    assert "access-control-allow-origin" not in client.get("/v1/classes", headers=ask).headers
    with TestClient(make_app(Settings(NOBODY, cors_origin=("https://maps.example",)))) as open_:
        answer = open_.options("/v1/recognize", headers=ask)
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://maps.example"
        assert open_.get("/v1/classes", headers=ask).headers["access-control-expose-headers"]
        other = open_.get("/v1/classes", headers={"Origin": "https://else.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("origin", ["https://maps.example", "http://localhost:3000", "http://[::1]:80", "*"])
def test_an_origin_as_browsers_send_it_is_taken(origin: str) -> None:
    assert Settings(NOBODY, cors_origin=(origin,)).cors_origin == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "maps.example",
        "https://",
        "https://maps.example/",
        "https://Maps.example",
        "https://a.example https://b.example",
        "https://a.example:port",
    ],
)
def test_an_origin_that_can_never_match_is_refused(origin: str) -> None:
    with pytest.raises(SettingError, match=f"cors_origin '{origin}' is not an origin"):
        Settings(NOBODY, cors_origin=("https://maps.example", origin))


def test_the_bytes_in_memory_are_bounded(tmp_path: Path) -> None:
    settings = Settings(NOBODY, retries=0, max_upload_memory=1, feedback=tmp_path, feedback_reserve=0)
    with TestClient(make_app(settings)) as client:
        for _ in range(3):  # what was held is let go
            problem(client.post("/v1/recognize", content=bytes(MEBIBYTE + 1), headers=PNG), 429, "memory")
            problem(client.post("/v1/recognize", content=picture(), headers=PNG), 503)


def test_variables_for_other_programs_change_nothing() -> None:
    """Of a server around it, of its platform, and those that can only be emptied; on an address of IPv6."""
    foreign = {"PROMETHEUS_MULTIPROC_DIR": "/nowhere", "WEB_CONCURRENCY": "many", "SIGNS_GATEWAY_FEEDBACK": ""}
    with running_gateway(NOBODY, "--host", "::1", **foreign, SIGNS_GATEWAY_KEYS="") as gateway:
        assert gateway.url.startswith("http://[::1]:")
        assert gateway.ask("/healthz").status == 200
        assert b"requests_total" in gateway.ask("/metrics").body
