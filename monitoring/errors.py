"""Errors of monitoring."""

from traffic_signs.errors import SignsError


class MonitoringError(SignsError):
    """Prometheus or an exporter cannot be used; the message names the fix."""


def cannot_listen(host: str, port: int, error: OSError) -> MonitoringError:
    """Returns the error of an exporter that cannot listen on its port."""
    return MonitoringError(
        f"cannot listen on {host}:{port} ({error.strerror or error}): choose another --host or --port"
    )
