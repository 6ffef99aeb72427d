"""`signs monitor`: the command line of monitoring."""

import typer

from clients.command.monitor_drift import drift, study
from clients.command.monitor_watch import alerts, watch
from traffic_signs.options import with_options
from traffic_signs.settings import DEFAULT_REPOSITORY, Host, Port, Repository

app = typer.Typer(
    no_args_is_help=True, help="Watch the served models in Prometheus: drift, a new version, alerts, the repository."
)
app.command()(drift)
app.command()(study)
app.command()(watch)
app.command()(alerts)


@app.command()
@with_options
def repository(repository: Repository = DEFAULT_REPOSITORY, host: Host = "127.0.0.1", port: Port = 9107) -> None:
    """Serve metrics of the model repository to Prometheus until Ctrl-C: versions, their age, and the champion.

    Each scrape of Prometheus reads the repository. If it cannot be read, the scrape fails, and Prometheus counts the
    exporter as down.

    Examples:
        signs monitor repository
        signs monitor repository --repository s3://models/signs --host 0.0.0.0
    """
    from monitoring.repository import export

    try:
        export(repository, host, port, typer.echo)
    except KeyboardInterrupt:
        typer.echo("stopped")
