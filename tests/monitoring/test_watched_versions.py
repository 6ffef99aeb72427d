"""`signs monitor watch` and `signs monitor alerts`: what they ask, and how they end."""

import json
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from clients.command.main import main
from monitoring.comparison import Comparison, load_checks, watch
from monitoring.drift.prometheus import Prometheus

Signs = Callable[..., tuple[int, str, str]]


class Answers:
    """Stands in for a Prometheus in which the checks come out as the test wants; `tests/airflow` asks a real one.

    Attributes:
        worse: words of the queries that have a result, for each look; the last one stays.
        alerts: firing alerts.
        asked: all queries.
    """

    def __init__(self) -> None:
        self.worse: list[tuple[str, ...]] = [()]
        self.alerts: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.url = ""


@pytest.fixture
def answers() -> Iterator[Answers]:
    found = Answers()
    first = load_checks()[0].query.strip().partition("{")[0]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            (query,) = form["query"]
            if query.strip().startswith(first) and found.asked and len(found.worse) > 1:
                found.worse.pop(0)
            found.asked.append(query)
            value = [{"metric": {}, "value": [1.0, "1"]}] if any(word in query for word in found.worse[0]) else []
            self.answer({"resultType": "vector", "result": value})

        def do_GET(self) -> None:
            self.answer({"alerts": found.alerts})

        def answer(self, data: dict[str, Any]) -> None:
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Signs:
    """Runs `signs monitor ...`; returns exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["signs", "monitor", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


FEW, SLOW = "< 100", "> 1.5 *"


def test_every_check_can_be_filled_in_for_two_at_once_and_for_before_and_after() -> None:
    for check in load_checks():
        at_once = Comparison('track="stable"', 'track="canary"', 300).fill(check.query, 1000)
        assert 'track="canary"}[300s]' in at_once and not {"CHAMPION", "WINDOW"} & set(at_once.split("{"))
        later = Comparison("", "", 300, since=900.5).fill(check.query, 1000)
        assert "{}[100s]" in later, "only what came since"
        assert ("{}[300s] @ 900.500" in later) == ("CHAMPION" in check.query)
        assert not any(word in later for word in ("CHAMPION", "CHALLENGER", "WINDOW"))
        assert "{CHALLENGER}[WINDOW]" in check.query
        assert "CHAMPION" not in check.query.replace("{CHAMPION}[WINDOW]", ""), "it could not be moved back in time"


@pytest.mark.parametrize("since", [None, 900.0])
def test_label_values_that_look_like_placeholders_stay(since: float | None) -> None:
    old, new = 'ns="WINDOW"', 'ns="{CHAMPION}[WINDOW] CHALLENGER"'
    filled = Comparison(old, new, 300, since).fill("a{CHAMPION}[WINDOW] / b{CHALLENGER}[WINDOW]", 1000)
    at, window = ("", "300s") if since is None else (" @ 900.000", "100s")
    assert filled == f"a{{{old}}}[300s]{at} / b{{{new}}}[{window}]"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("looks", "state", "count"),
    [
        ([()], "fine", 5),
        ([(SLOW,), ()], "fine", 5),
        ([(), (SLOW,), (SLOW,), ()], "worse", 3),
        ([(FEW, SLOW)], "unclear", 5),
        ([(FEW,), (FEW,), (FEW,), (FEW,), ()], "fine", 5),
        ([(), (), (), (), (SLOW,)], "worse", 5),
    ],
)
def test_two_looks_that_say_worse_end_it_and_too_few_requests_say_nothing(
    answers: Answers, looks: list[tuple[str, ...]], state: str, count: int
) -> None:
    answers.worse = list(looks)
    clock, notices = Clock(), list[str]()
    verdict = watch(
        Prometheus(answers.url), Comparison("a", "b"), 60, 15, notices.append, clock=clock, sleep=clock.sleep
    )
    assert (verdict.state, verdict.looks) == (state, count)
    assert bool(verdict.reasons) == (state != "fine") and notices[-1].startswith(state)


def test_the_exit_code_reports_the_verdict(signs: Signs, answers: Answers) -> None:
    command = ("watch", "--prometheus", answers.url, "--since", "900", "--for", "1s", "--interval", "1s")
    assert signs(*command)[:2] == (0, "fine\n")
    answers.worse = [(SLOW,)]
    code, out, _ = signs(*command, "--json")
    assert code == 1 and json.loads(out)["state"] == "worse" and "Slower" in json.loads(out)["reasons"][0]
    answers.worse = [(FEW,)]
    assert signs(*command)[0] == 2
    code, out, _ = signs("watch", "--prometheus", "http://127.0.0.1:1", "--since", "900", "--for", "1s", "--json")
    assert code == 2 and "does not answer" in json.loads(out)["reasons"][0]
    assert signs("watch")[0] == 2 and signs(*command, "--window", "soon")[0] == 2


def test_alerts_that_fire_are_listed_by_their_labels(signs: Signs, answers: Answers) -> None:
    labels = {"alertname": "SignsDrift", "retrain": "true"}
    answers.alerts = [
        {"labels": labels, "state": "pending"},
        {"labels": {"alertname": "SignsDown"}, "state": "firing"},
    ]
    ask = ("alerts", "--prometheus", answers.url)
    assert signs(*ask, "--label", "retrain=true")[0] == 0
    answers.alerts.append({"labels": labels, "state": "firing", "annotations": {"summary": "darker than before"}})
    code, out, _ = signs(*ask, "--label", "retrain=true")
    assert (code, out) == (1, "SignsDrift: darker than before\n")
    code, out, _ = signs(*ask, "--json")
    assert code == 1 and len(json.loads(out)["firing"]) == 2
    code, _, err = signs("alerts", "--prometheus", "http://127.0.0.1:1")
    assert code == 2 and err.count("\n") == 1
    assert signs(*ask, "--label", "retrain")[0] == 2
