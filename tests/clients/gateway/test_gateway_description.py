"""What the gateway says of itself: its OpenAPI description, its reference, its metrics, its page."""

import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from clients.gateway import page
from clients.gateway.app import make_app
from clients.gateway.metrics import OUTCOMES, REASONS, ROUTES
from clients.gateway.problems import KINDS
from clients.gateway.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(make_app(Settings("127.0.0.1:9", retries=0))) as made:
        yield made


def test_the_description_has_every_route_and_every_problem(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    paths = described["paths"]
    assert set(paths) == {
        *("/v1/recognize", "/v1/classify", "/v1/feedback", "/v1/classes", "/v1/models"),
        *("/healthz", "/readyz", "/metrics"),
    }
    asked = paths["/v1/recognize"]["post"]
    assert {"image/jpeg", "application/octet-stream", "multipart/form-data"} <= set(asked["requestBody"]["content"])
    assert set(asked["responses"]) == {
        *("200", "400", "401", "404", "408", "413", "415", "422", "429", "500", "502", "503", "504"),
    }
    for path, operations in paths.items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert set(answer["content"]) == {"application/problem+json"}, path
    references = set(re.findall(r'"#/components/schemas/(\w+)"', client.get("/openapi.json").text))
    assert references <= set(described["components"]["schemas"])


def test_the_examples_fit_their_schemas(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    seen = 0
    for name, schema in described["components"]["schemas"].items():
        for example in schema.get("examples", []):
            jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **described}).validate(example)
            seen += 1
    assert seen >= 4


def test_the_reference_needs_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|https?://|src=", answer.text)
    for kind in KINDS:
        assert f"id='{kind.name}'" in answer.text
    for path in ("/v1/recognize", "/v1/classify", "/v1/feedback", "/v1/classes", "/v1/models", "/readyz"):
        assert f"{path}</code>" in answer.text


def test_the_metrics_are_those_that_the_rules_ask_for(client: TestClient) -> None:
    """Every series exists from the start, or the first event would go unseen."""
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    samples = {sample.name for family in families.values() for sample in family.samples}
    asked_for: set[str] = set()
    for source in [
        *(ROOT / "monitoring" / "prometheus").glob("*.yaml"),
        *(ROOT / "monitoring" / "dashboards").glob("*.yaml"),
    ]:
        # Not the names of recorded rules, which have a colon before.
        asked_for |= set(re.findall(r"(?<![:\w])signs_gateway_\w+", source.read_text()))
    assert len(asked_for) >= 5 and asked_for <= samples
    contract = (ROOT / "monitoring" / "metrics.md").read_text()
    assert set(re.findall(r"`(signs_gateway_\w+)[`{]", contract)) <= samples | set(families)
    series = {
        (sample.labels["route"], sample.labels["outcome"]) for sample in families["signs_gateway_requests"].samples
    }
    assert series >= {(route, outcome) for route in ROUTES for outcome in OUTCOMES}
    edges = {sample.labels.get("le") for sample in families["signs_gateway_request_duration_seconds"].samples}
    assert "0.5" in edges
    reasons = {sample.labels["reason"] for sample in families["signs_gateway_upstream_failures"].samples}
    assert reasons == set(REASONS)


def test_requests_are_counted_by_what_became_of_them(client: TestClient) -> None:
    def counted(outcome: str) -> float:
        text = client.get("/metrics").text
        match = re.search(rf'signs_gateway_requests_total{{outcome="{outcome}",route="/v1/recognize"}} (\S+)', text)
        assert match
        return float(match[1])

    before = {outcome: counted(outcome) for outcome in OUTCOMES}
    client.post("/v1/recognize", content=b"x", headers={"Content-Type": "image/png"})
    client.post("/v1/recognize", content=b"", headers={"Content-Type": "image/png"})
    client.post("/v1/nothing", content=b"x")
    after = {outcome: counted(outcome) - before[outcome] for outcome in OUTCOMES}
    assert after == dict.fromkeys(OUTCOMES, 0.0) | {"upstream_error": 1.0, "client_error": 1.0}
    assert 'signs_gateway_upstream_failures_total{reason="unavailable"} 0.0' not in client.get("/metrics").text


def test_the_page_is_kept_by_browsers_and_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>signs</title>")
    (tmp_path / "app.js").write_text("export {}")
    monkeypatch.setattr(page, "PAGE", tmp_path)
    with TestClient(make_app(Settings("127.0.0.1:9"))) as client:
        for path, kind in (("/", "text/html"), ("/static/app.js", "text/javascript")):
            answer = client.get(path)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
            assert answer.headers["cache-control"] == "no-cache"
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert client.head("/").status_code == 200
        assert client.get("/static/nothing.js").status_code == 404


def test_without_a_page_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "none")
    with TestClient(make_app(Settings("127.0.0.1:9"))) as client:
        for path in ("/", "/static/app.js"):
            assert client.get(path).headers["content-type"] == "application/problem+json"
            assert client.get(path).status_code == 404
