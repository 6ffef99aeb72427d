"""`signs monitor`: the command line of monitoring."""

from typing import Annotated

import typer

from clients.command.monitor_drift import drift, study
from clients.command.monitor_watch import alerts, watch
from clients.command.repository_options import DEFAULT_REPOSITORY, Repository

app = typer.Typer(no_args_is_help=True, help="Watch what is served.")


app.command()(drift)
app.command()(study)
app.command()(watch)
app.command()(alerts)


@app.command()
def repository(
    repository: Repository = DEFAULT_REPOSITORY,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="For /metrics; 0 takes a free one.")] = 9107,
) -> None:
    """Show Prometheus which versions the repository holds, how old they are and which is the champion, until Ctrl-C.

    Each scrape reads the repository. While it cannot be read, scrapes fail, and Prometheus counts the exporter as down.

    \b
    signs monitor repository
    signs monitor repository --repository s3://models/signs --host 0.0.0.0
    """
    from monitoring.repository import export

    try:
        export(repository, host, port, typer.echo)
    except KeyboardInterrupt:
        typer.echo("stopped")
