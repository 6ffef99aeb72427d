"""Prometheus exporter of drift, for alerts and dashboards."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitoring.drift.watch import Finding, Watch
from monitoring.errors import MonitoringError, cannot_listen

PREFIX = "signs_drift_"


class Published(Collector):
    """The metrics of the last findings.

    While Prometheus does not answer, the last findings and the time of the last success stay as they are.
    """

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._last_success = 0.0

    def show(self, findings: list[Finding]) -> None:
        """Replaces the findings."""
        self._findings, self._last_success = findings, time.time()

    def collect(self) -> Iterable[Metric]:
        """Yields the metrics; README.md beside this file explains each."""
        score = _gauge("score", "Population stability index against the version's reference.", "feature", "version")
        chance = _gauge("p_value", "P-value of the difference, corrected for all features.", "feature", "version")
        firing = _gauge("firing", "1: the feature has drifted.", "feature", "version")
        samples = _gauge("samples", "Scenes in the window.", "version")
        missing = _gauge("reference_missing", "1: the version has no reference that can be read.", "version")
        for finding in self._findings:
            samples.add_metric([finding.version], finding.scenes)
            missing.add_metric([finding.version], bool(finding.missing))
            for each in finding.scores:
                labels = [each.feature, finding.version]
                firing.add_metric(labels, each.is_firing)
                if each.psi is not None and each.p_value is not None:
                    score.add_metric(labels, each.psi)
                    chance.add_metric(labels, each.p_value)
        yield from (score, chance, firing, samples, missing)
        last = _gauge("last_success_timestamp_seconds", "When Prometheus last answered; 0: not yet.")
        last.add_metric([], self._last_success)
        yield last


def export(watch: Watch, interval_s: float, host: str, port: int, notify: Callable[[str], None]) -> None:
    """Checks for drift at intervals and answers scrapes, until it is interrupted.

    `notify` receives a sentence at the start or end of each problem: drift of a feature, a missing reference, a
    Prometheus that does not answer. Port 0 is a free one. Raises MonitoringError if the port cannot be opened.
    """
    published, problems = Published(), Problems(notify)
    with _listening(published, host, port) as where:
        notify(f"publishing drift at http://{where}/metrics, a look each {interval_s:g} s; stop: Ctrl-C")
        while True:
            started = time.monotonic()
            try:
                findings = watch.look()
            except MonitoringError as error:
                problems.update({"prometheus": str(error)})
            else:
                published.show(findings)
                problems.update(_sentences(findings))
            time.sleep(max(0.0, started + interval_s - time.monotonic()))


class Problems:
    """Reports the start and the end of each problem once."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._known: dict[str, str] = {}

    def update(self, sentences: dict[str, str]) -> None:
        """Takes the current problems: a sentence for each name."""
        for about, sentence in sentences.items():
            if about not in self._known:
                self._notify(sentence)
        for about in self._known.keys() - sentences.keys():
            self._notify(f"over: {about}")
        self._known = sentences


def _sentences(findings: list[Finding]) -> dict[str, str]:
    sentences = {}
    if not findings:
        sentences["no recognizer in Prometheus"] = (
            "Prometheus has no metrics of a sign_recognizer yet: check that it scrapes the server, and --selector"
        )
    for finding in findings:
        version = f"version {finding.version}"
        if finding.missing:
            sentences[f"{version}: no reference"] = f"{version}: {finding.missing}"
        for score in finding.scores:
            if score.is_firing:
                about = f"{version}: drift of {score.feature}"
                sentences[about] = (
                    f"{about}: PSI {score.psi:.2f}, p {score.p_value:.2g}, {score.samples:.0f} samples; {score.note}"
                )
    return sentences


@contextmanager
def _listening(published: Published, host: str, port: int) -> Iterator[str]:
    registry = CollectorRegistry()
    registry.register(published)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, about, labels=labels)
