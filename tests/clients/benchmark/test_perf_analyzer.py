"""perf_analyzer's files and last words. Where it fails in a way that a healthy machine cannot show, a script fails."""

from pathlib import Path

import pytest

from clients.benchmark.perf_analyzer import Tool, command, find, last_words, measure, read_measurement
from clients.benchmark.plan import Point
from tests.clients.benchmark.made_up import HEADER, ROW, SAID, TABLE
from traffic_sign_client.errors import ClientError

POINT = Point("sign_classifier", "grpc", 8, 16)


def script(folder: Path, text: str) -> Path:
    """Writes a program that stands in for perf_analyzer."""
    path = folder / "perf_analyzer"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_table_is_read_in_milliseconds() -> None:
    read = read_measurement(TABLE, SAID)
    assert read.images_per_second == 30.5274 and read.requests == 56
    assert read.latency_ms == {"p50": 92.704, "p90": 131.803, "p95": 151.295, "p99": 169.313, "mean": 94.668}
    assert read.parts_ms == pytest.approx(
        {"client": 0.013, "network": 7.367, "queue": 41.539, "input": 0.037, "inference": 45.474, "output": 0.235}
    )
    assert sum(read.parts_ms.values()) == pytest.approx(read.latency_ms["mean"], rel=0.001)
    assert read.table["response wait"] == "95204", "all of it is kept"


@pytest.mark.parametrize(
    "table",
    [
        "",
        HEADER,
        f"{HEADER}\n{ROW}\n{ROW}\n",
        TABLE.replace("p99 latency", "p98 latency"),
        TABLE.replace("30.5274", "nan"),
        TABLE.replace("30.5274", "-1"),
        TABLE.replace("169313", "inf"),
        TABLE.replace("41539", "long"),
        "\0\n",
    ],
)
def test_a_table_that_holds_no_measurement_is_refused(table: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_measurement(table, SAID)


def test_its_last_words_are_its_errors_each_once() -> None:
    said = (
        "Request concurrency: 2\nFailed to maintain requested inference load.\n"
        "Thread [0] had error: too many\n\nThread [1] had error: too many\n"
    )
    assert last_words(said) == "too many"
    assert last_words("a\nerror: failed to get model metadata: no\n\n") == "failed to get model metadata: no"
    assert last_words("one\ntwo\n\nthree\nfour\n") == "two; three; four"
    assert last_words(" \n") == "it printed nothing"


def test_it_measures_for_a_given_time_and_not_until_it_is_content() -> None:
    words = command(Tool(Path("/bin/pa"), "1"), POINT, "host:8001", Path("/tmp/in.json"), "out.csv", 3)
    line = " ".join(words)
    assert line.startswith("/bin/pa -m sign_classifier -i grpc -u host:8001 -b 8 --concurrency-range 16 ")
    assert "--measurement-interval 1000 " in line and "--input-data /tmp/in.json" in line
    assert "--stability-percentage 1000000 " in line and line.endswith("-f out.csv")


def test_where_there_is_none_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClientError, match=r"no perf_analyzer on the PATH: .*-py3-sdk.*pip install perf_analyzer"):
        find()
    with pytest.raises(ClientError, match="cannot be run"):
        find(tmp_path / "nothing")
    (tmp_path / "text").write_text("x")
    with pytest.raises(ClientError, match="cannot be run"):
        find(tmp_path / "text")
    old = "echo \"perf_analyzer: libc.so.6: version 'GLIBC_2.38' not found\" >&2; exit 1"
    with pytest.raises(ClientError, match=r"does not run \(.*GLIBC_2.38' not found\): .*glibc 2.38"):
        find(script(tmp_path, old))


def test_its_version_is_the_one_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path, 'echo "Perf Analyzer Version 2.60.0 (commit 3a49a23)"')
    assert find(path) == Tool(path, "2.60.0 (commit 3a49a23)")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find().program == path


def test_a_run_worked_where_its_table_is_there(tmp_path: Path) -> None:
    program = script(tmp_path, f"printf '%s\\n' '{HEADER}' '{ROW}' > x.csv; echo '    Request count: 56'")
    read = measure([str(program)], tmp_path, "x", 1)
    assert (read.images_per_second, read.requests) == (30.5274, 56)
    assert "Request count" in (tmp_path / "x.txt").read_text(), "what it printed is kept"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # The program of PyPI ends so, whatever the true one did.
        (
            "echo 'error: failed to get model metadata: refused'; exit 0",
            "failed: failed to get model metadata: refused",
        ),
        ("echo 'Failed to obtain stable measurement.'; exit 2", "stable measurement. .*give more --seconds"),
        ("kill -9 $$", "signal SIGKILL"),
        ("echo 'Thread [0] had error: too large'; echo half > x.csv", "failed: too large$"),
    ],
)
def test_a_run_that_failed_is_reported_in_its_own_words(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ClientError, match=said):
        measure([str(script(tmp_path, text))], tmp_path, "x", 1)


def test_a_run_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.benchmark.perf_analyzer.START_S", 0.5)
    program = script(tmp_path, "sleep 600 & echo $! > child; wait")
    with pytest.raises(ClientError, match="did not end within"):
        measure([str(program)], tmp_path, "x", 0)
    from tests.serving.test_server import alive, wait_until

    child = int((tmp_path / "child").read_text())
    assert wait_until(lambda: not alive(child)), "what it started is ended too"
