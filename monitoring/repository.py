"""The exporter of the model repository: which versions there are, how old they are, which are champion and served.

Triton tells what is loaded. What ought to be, how old it is and how well it did when it was judged only the repository
knows; it is read anew for each scrape, since promotions come from anywhere.
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
    """Returns the metrics of a repository in Prometheus' text format; README.md of monitoring explains each.

    Raises:
        ExportError: the repository cannot be read.
    """
    registry = CollectorRegistry()
    created = _gauge(registry, "created_timestamp_seconds", "When the version was published.")
    champion = _gauge(registry, "champion", "1 where the version is the champion of its model.")
    served = _gauge(registry, "served", "1 where config.pbtxt has Triton serve the version.")
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


def export(repository: str, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Answers scrapes until it is interrupted.

    Args:
        repository: folder or address of all models.
        host: address to listen on.
        port: likewise; 0 for a free one.
        tell: receives in one sentence where it listens, and when the repository cannot be read or can again.

    Raises:
        MonitoringError: the port cannot be had.
    """
    with listening(repository, host, port, tell) as server:
        where = f"{host}:{server.server_port}"
        tell(f"publishing the versions in {repository} at http://{where}/metrics; stop: Ctrl-C")
        server.serve_forever()


@contextmanager
def listening(repository: str, host: str, port: int, tell: Callable[[str], None]) -> Iterator[ThreadingHTTPServer]:
    """Opens the port, and closes it after the block; `serve_forever` of what it gives answers.

    Raises:
        MonitoringError: the port cannot be had.
    """
    try:
        server = _Server((host, port), repository, tell)
    except OSError as error:
        raise cannot_listen(host, port, error) from error
    with server:
        yield server


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], repository: str, tell: Callable[[str], None]) -> None:
        self.repository = repository
        self._tell = tell
        self._problem = ""
        super().__init__(address, _Handler)

    def note(self, problem: str) -> None:
        """Tells of a problem once, and when it is over."""
        if problem != self._problem:
            self._tell(problem or f"{self.repository} can be read again")
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
        """Says nothing of each scrape."""

    def _answer(self, status: int, content_type: str, content: bytes) -> None:
        with suppress(ConnectionError):  # a scraper that has given up meanwhile
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)


def _gauge(registry: CollectorRegistry, name: str, about: str, *more: str) -> Gauge:
    return Gauge(PREFIX + name, about, [*LABELS, *more], registry=registry)


def _timestamp(row: dict[str, Any]) -> float | None:
    """Returns when a version was published, None for one that was made by hand or does not say."""
    try:
        return datetime.fromisoformat(row["created"]).timestamp()
    except ValueError:
        return None
