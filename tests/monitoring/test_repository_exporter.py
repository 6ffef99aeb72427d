"""The exporter of the model repository publishes all versions, and fails scrapes if it cannot read them."""

import json
import shutil
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from export.repository import promote
from monitoring.errors import MonitoringError
from monitoring.repository import export, listening, render

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "model_repository" / "sign_classifier"
OF_1 = (("model", "sign_classifier"), ("version", "1"))
OF_2 = (("model", "sign_classifier"), ("version", "2"))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with two versions of the bundled classifier; its detector was made by hand."""
    shutil.copytree(SHIPPED, tmp_path / "models" / "sign_classifier")
    folder = tmp_path / "models" / "sign_classifier"
    shutil.copytree(folder / "1", folder / "2")
    manifest = json.loads((folder / "2" / "manifest.json").read_text())
    (folder / "2" / "manifest.json").write_text(
        json.dumps(manifest | {"version": 2, "created": "2026-02-03T04:05:06+00:00"})
    )
    (tmp_path / "models" / "sign_detector" / "1").mkdir(parents=True)
    (tmp_path / "models" / "sign_detector" / "1" / "model.onnx").write_bytes(b"four")
    return tmp_path / "models"


def samples(content: bytes) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Returns the values by metric and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@contextmanager
def exporter(repository: Path, notices: list[str]) -> Iterator[str]:
    with listening(str(repository), "127.0.0.1", 0, notices.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_versions_are_reported_with_age_size_figures_and_what_they_are(models: Path) -> None:
    promote(models, "sign_classifier", 2, "better")
    found = samples(render(str(models)))
    name = "signs_repository_version_"
    assert found[f"{name}created_timestamp_seconds"][OF_2] == 1770091506
    assert found[f"{name}champion"] == {OF_1: 0, OF_2: 1, (("model", "sign_detector"), ("version", "1")): 0}
    assert found[f"{name}served"][OF_1] == 0 and found[f"{name}served"][OF_2] == 1
    files = [path for path in (models / "sign_classifier" / "1").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if path.name != "manifest.json")
    assert found[f"{name}size_bytes"][OF_1] == size
    metrics = json.loads((SHIPPED / "1" / "manifest.json").read_text())["metrics"]
    assert metrics
    for figure, value in metrics.items():
        assert found[f"{name}figure"][(OF_1[0], ("name", figure), OF_1[1])] == pytest.approx(value)


def test_a_version_made_by_hand_has_no_age(models: Path) -> None:
    found = samples(render(str(models)))
    by_hand = (("model", "sign_detector"), ("version", "1"))
    assert by_hand not in found["signs_repository_version_created_timestamp_seconds"]
    assert found["signs_repository_version_size_bytes"][by_hand] == 4


def test_each_scrape_reads_the_repository_anew(models: Path) -> None:
    notices: list[str] = []
    with exporter(models, notices) as address:
        before = samples(get(f"{address}/metrics")[1].encode())["signs_repository_version_champion"]
        promote(models, "sign_classifier", 1, "the first")
        after = samples(get(f"{address}/metrics?x=1")[1].encode())["signs_repository_version_champion"]
        assert get(f"{address}/else")[0] == 404
    assert (before[OF_1], after[OF_1]) == (0, 1)
    assert notices == []


def test_a_repository_that_cannot_be_read_fails_the_scrape_and_is_reported_once(models: Path) -> None:
    notices: list[str] = []
    moved = models.with_name("elsewhere")
    with exporter(models, notices) as address:
        assert get(f"{address}/metrics")[0] == 200
        models.rename(moved)
        answers = [get(f"{address}/metrics") for _ in range(3)]
        moved.rename(models)
        assert get(f"{address}/metrics")[0] == 200
    assert [status for status, _ in answers] == [503] * 3
    assert str(models) in answers[0][1]
    assert len(notices) == 2 and str(models) in notices[0] and notices[1].endswith("can be read again")


def test_a_repository_that_is_missing_at_the_start_is_reported(tmp_path: Path) -> None:
    def note(notice: str) -> None:
        if "there is no repository at" in notice:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(str(tmp_path / "none"), "127.0.0.1", 0, note)


def test_a_port_that_is_taken_is_reported_in_one_line(models: Path) -> None:
    with listening(str(models), "127.0.0.1", 0, print) as server:
        taken = pytest.raises(MonitoringError, match=r"cannot listen on .* choose another --host or --port")
        with taken, listening(str(models), "127.0.0.1", server.server_port, print):
            pass


def test_a_scraper_that_gives_up_leaves_no_traceback(
    models: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked, gone = threading.Event(), threading.Event()

    def slow(repository: str) -> bytes:
        asked.set()
        gone.wait(60)
        return bytes(1 << 22)

    monkeypatch.setattr("monitoring.repository.render", slow)
    others = {*threading.enumerate()}  # such as those of an S3 server, whose clients keep their connections
    with exporter(models, []) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port)) as scraper:
            scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert asked.wait(60)
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
        gone.set()
        for thread in {*threading.enumerate()} - others:
            if "process_request_thread" in thread.name:
                thread.join(60)
    assert capfd.readouterr().err == ""
