"""What monitoring tells a person when it cannot do its work."""

from traffic_signs.errors import SignsError


class MonitoringError(SignsError):
    """A problem the caller can mend; the message says how."""


def cannot_listen(host: str, port: int, error: OSError) -> MonitoringError:
    """Returns what an exporter raises where it cannot have the port to be scraped at."""
    return MonitoringError(
        f"cannot listen on {host}:{port} ({error.strerror or error}): choose another --host or --port"
    )
