"""The whole way: a real tritonserver counts, a real Prometheus scrapes, the watch finds what changed."""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from urllib.parse import urlsplit

import pytest

from export.repository import load_manifest, verify_files
from monitoring.drift.limits import DriftLimits
from monitoring.drift.prometheus import Prometheus
from monitoring.drift.watch import Finding, Watch
from serving.server import RunningServer
from tests.drawn_traffic import SCENES, photograph
from tests.end_to_end.street import connect, encode, scrape
from tests.monitoring.drift_samples import draw, publish_recognizer, reference_of
from tests.monitoring.test_drift_exporter import exporting
from tests.running_prometheus import ask, running_prometheus, wait_until
from traffic_sign_client import SignClient

pytestmark = pytest.mark.end_to_end

RULES = Path(__file__).parents[2] / "monitoring/prometheus/quality.yaml"
TOTAL = "sign_recognizer_scenes_total"


@pytest.fixture(scope="module")
def prometheus(recognizer_server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes the recognizer's server, and has done so once."""
    target = recognizer_server.metrics_url.removeprefix("http://").removesuffix("/metrics")
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), target) as url:
        wait_until(lambda: ask(url, TOTAL) is not None, "the first scrape")
        yield url


def drive(client: SignClient, prometheus: str, server: RunningServer, seeds: range, light: float = 1.0) -> None:
    """Sends photographs, and waits until Prometheus knows of them."""
    for seed in seeds:
        client.recognize(encode(photograph(seed, light), "BMP"))
    wanted = scrape(server)[f'{TOTAL}{{version="1"}}']
    wait_until(lambda: ask(prometheus, TOTAL) == wanted, "a scrape of what was sent")


def test_the_same_traffic_is_no_drift_and_darkness_is(
    recognizer_server: RunningServer, recognizer_repository: Path, prometheus: str
) -> None:
    watch = Watch(Prometheus(prometheus, "5m"), recognizer_repository, DriftLimits())

    def only() -> Finding:
        (finding,) = watch.look()
        return finding

    verify_files(
        recognizer_repository / "sign_recognizer" / "1", load_manifest(recognizer_repository, "sign_recognizer", 1)
    )
    with connect(recognizer_server) as client:
        drive(client, prometheus, recognizer_server, range(SCENES, 2 * SCENES))
        same = only()
        drive(client, prometheus, recognizer_server, range(2 * SCENES, 4 * SCENES), light=0.4)
        dark = only()

    assert same.verdict == "no drift", same.scores
    # Prometheus stretches what it saw to the ends of the window, by a scrape at most.
    assert SCENES <= same.scenes <= 1.5 * SCENES
    # What the server measured is what was measured for the reference: few of the features lie far off it.
    assert {score.feature for score in same.scores if score.psi is not None} >= {"scene_brightness", "sign_class"}
    assert dark.verdict == "drift"
    scores = {score.feature: score for score in dark.scores}
    assert scores["scene_brightness"].is_firing, scores
    assert scores["empty_scenes"].is_firing, "red is not red enough in the dark, for this detector"
    assert scores["scene_brightness"].note.startswith("up to ")


def test_a_version_that_cannot_be_compared_raises_an_alert_until_it_can(
    recognizer_server: RunningServer, prometheus: str, tmp_path: Path
) -> None:
    """The exporter reads a repository of its own, whose version 1 has no reference at first.

    The alert's hour of waiting is a second here.
    """
    models, data = tmp_path / "models", tmp_path / "watching"
    publish_recognizer(models, None)
    data.mkdir()
    rules = RULES.read_text()
    assert rules.count("for: 1h") == 1
    with connect(recognizer_server) as client:
        drive(client, prometheus, recognizer_server, range(2))
    with (
        exporting(urlsplit(prometheus).netloc, models) as exporter,
        running_prometheus(data, urlsplit(exporter.url).netloc, rules.replace("for: 1h", "for: 1s")) as watching,
    ):
        blind = 'ALERTS{alertname="SignsDriftBlind",alertstate="firing",version="1"}'
        wait_until(lambda: ask(watching, blind) == 1, "the alert")
        rmtree(models)
        publish_recognizer(models, reference_of(draw(300, seed=0)))
        wait_until(lambda: ask(watching, blind) is None, "its end")
