"""What the commands of `signs monitor` share: where Prometheus is, and lengths of time."""

from typing import Annotated

import typer

PROMETHEUS = "http://localhost:9090"
PrometheusOption = Annotated[str, typer.Option(help="Address of Prometheus.")]


def check_duration(text: str) -> str:
    """Returns a length of time as it is written; a callback of options."""
    from monitoring.drift.prometheus import seconds
    from monitoring.errors import MonitoringError

    try:
        seconds(text)
    except MonitoringError as error:
        raise typer.BadParameter(str(error)) from error
    return text
