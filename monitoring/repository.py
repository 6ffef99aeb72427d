"""Prometheus exporter of the model repository: the versions, their age and figures, and which are champion and served.

Triton exports only which versions are loaded. The repository is read at each scrape, because any process may promote a
version.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from export.errors import ExportError
from export.repository.listing import list_versions
from monitoring.errors import cannot_listen

PREFIX = "signs_repository_version_"
LABELS = ("model", "version")


def render(repository: str) -> bytes:
    """Returns the metrics of a repository in Prometheus' text format; monitoring/README.md explains each.

    Raises:
        ExportError: the repository cannot be read.
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
        time = _timestamp(row)
        if time is not None:
            created.labels(*labels).set(time)
        for name, value in row["metrics"].items():
            if isinstance(value, int | float):
                figure.labels(*labels, name).set(value)
    return generate_latest(registry)


def export(repository: str, host: str, port: int, notify: Callable[[str], None]) -> None:
    """Answers scrapes until it is interrupted; port 0 is a free one.

    `notify` receives a sentence with the address, and whenever the repository becomes unreadable or readable.

    Raises:
        MonitoringError: the port cannot be opened.
    """
    with listening(repository, host, port, notify) as server:
        where = f"{host}:{server.server_port}"
        notify(f"publishing the versions in {repository} at http://{where}/metrics; stop: Ctrl-C")
        server.serve_forever()


@contextmanager
def listening(repository: str, host: str, port: int, notify: Callable[[str], None]) -> Iterator[ThreadingHTTPServer]:
    """Opens the port for the block; call `serve_forever` of the server to answer scrapes.

    Raises:
        MonitoringError: the port cannot be opened.
    """
    try:
        server = _Server((host, port), repository, notify)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    with server:
        yield server


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], repository: str, notify: Callable[[str], None]) -> None:
        self.repository = repository
        self._notify = notify
        self._problem = ""
        super().__init__(address, _Handler)

    def note(self, problem: str) -> None:
        """Reports a problem once, and its end; an empty string is no problem."""
        if problem != self._problem:
            self._notify(problem or f"{self.repository} can be read again")
        self._problem = problem


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answers a scrape."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, "text/plain", b"the metrics are at /metrics\n")
            return
        try:
            content = render(self.server.repository)
        except (ExportError, OSError) as error:
            self.server.note(str(error))
            self._answer(503, "text/plain", f"{error}\n".encode())
        else:
            self.server.note("")
            self._answer(200, CONTENT_TYPE_LATEST, content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Does not log scrapes."""

    def _answer(self, status: int, content_type: str, content: bytes) -> None:
        with suppress(ConnectionError):  # the scraper has closed the connection
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)


def _gauge(registry: CollectorRegistry, name: str, about: str, *more: str) -> Gauge:
    return Gauge(PREFIX + name, about, [*LABELS, *more], registry=registry)


def _timestamp(row: dict[str, Any]) -> float | None:
    """Returns the time of publication in seconds since 1970; None if the version has none."""
    try:
        return datetime.fromisoformat(row["created"]).timestamp()
    except ValueError:
        return None
