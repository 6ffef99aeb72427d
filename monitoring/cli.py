"""`signs monitor`: the command line of monitoring."""

import typer

from monitoring.drift.cli import drift, study

app = typer.Typer(no_args_is_help=True, help="Watch what is served.")


@app.callback()
def _monitor() -> None:
    """Watch what is served."""


app.command()(drift)
app.command()(study)
