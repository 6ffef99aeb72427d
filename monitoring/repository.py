"""Prometheus exporter of the model repository: the versions, their age and figures, and which are champion and served.

Triton exports only which versions are loaded. The repository is read at each scrape, because any process may promote a
version.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import ThreadingWSGIServer

from export.errors import ExportError
from export.repository.listing import list_versions
from monitoring.errors import cannot_listen

PREFIX = "signs_repository_version_"
LABELS = ("model", "version")


def render(repository: str) -> bytes:
    """Returns the metrics of a repository in Prometheus' text format; monitoring/metrics.md explains each.

    Raises ExportError if the repository cannot be read.
    """
    registry = CollectorRegistry()
    created = _gauge(registry, "created_timestamp_seconds", "When the version was published.")
    champion = _gauge(registry, "champion", "1 if the version is the champion of its model.")
    served = _gauge(registry, "served", "1 if config.pbtxt has Triton serve the version.")
    size = _gauge(registry, "size_bytes", "Size of all files of the version.")
    figure = _gauge(registry, "figure", "Figures of the version's evaluation, by name.", "name")
    for row in list_versions(repository):
        labels = (row["model"], str(row["version"]))
        champion.labels(*labels).set(row["champion"])
        served.labels(*labels).set(row["served"])
        size.labels(*labels).set(row["size"])
        with suppress(ValueError):  # a version that was not published has no time, and no series
            time = datetime.fromisoformat(row["created"]).timestamp()
            created.labels(*labels).set(time)
        for name, value in row["metrics"].items():
            if isinstance(value, int | float):
                figure.labels(*labels, name).set(value)
    return generate_latest(registry)


def export(repository: str, host: str, port: int, notify: Callable[[str], None]) -> None:
    """Answers scrapes until it is interrupted; port 0 is a free one.

    `notify` receives a sentence with the address, and whenever the repository becomes unreadable or readable. Raises
    MonitoringError if the port cannot be opened.
    """
    with listening(repository, host, port, notify) as server:
        where = f"{host}:{server.server_port}"
        notify(f"publishing the versions in {repository} at http://{where}/metrics; stop: Ctrl-C")
        try:
            render(repository)
        except (ExportError, OSError) as error:  # it may come later
            notify(f"scrapes fail at present: {error}")
        server.serve_forever()


@contextmanager
def listening(repository: str, host: str, port: int, notify: Callable[[str], None]) -> Iterator[WSGIServer]:
    """Opens the port for the block; call `serve_forever` of the server to answer scrapes.

    Raises MonitoringError if the port cannot be opened.
    """
    known_problem = ""

    def answer(request: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        nonlocal known_problem
        if request["PATH_INFO"] != "/metrics":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"the metrics are at /metrics\n"]
        problem, content = "", b""
        try:
            content = render(repository)
        except (ExportError, OSError) as error:
            problem = str(error) or type(error).__name__
        if problem != known_problem:
            notify(problem or f"{repository} can be read again")
        known_problem = problem
        if problem:
            start("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [f"{problem}\n".encode()]
        start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
        return [content]

    try:
        server = make_server(host, port, answer, ThreadingWSGIServer, _Handler)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    with server:
        yield server


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Does not log scrapes."""


def _gauge(registry: CollectorRegistry, name: str, about: str, *more: str) -> Gauge:
    return Gauge(PREFIX + name, about, [*LABELS, *more], registry=registry)
