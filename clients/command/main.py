"""The `signs` command: a sub-command for each stage, imported only when it is called."""

import sys
from typing import Annotated

import typer

from clients.command import data as data_cli
from clients.command import export as export_cli
from clients.command import monitor as monitoring_cli
from clients.command import repository as repository_cli
from clients.command import train as training_cli
from clients.command.bench import bench
from clients.command.check_server import check_server
from clients.command.demo.command import demo
from clients.command.evaluate import evaluate
from clients.command.gateway import gateway
from clients.command.predict import predict
from clients.command.robustness import robustness
from clients.command.serve import serve
from clients.gateway.settings import ENVIRONMENT
from export.errors import UndecidedError
from traffic_signs.direct import keep_loopback_direct
from traffic_signs.environment import drop_foreign_variables
from traffic_signs.paths import expand_arguments, expand_variables
from traffic_signs.program import end, run_program

UNDECIDED = 2  # the gate came to no verdict: 1 is a challenger that is refused

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="To start: `signs serve` in one terminal, `signs predict clients/gateway/page/example.jpg` in another. "
    "`signs demo` runs the whole loop.",
)
TRAINING, VERSIONS, SERVING, MONITORING = (
    "Data and training",
    "Models and versions",
    "Serving and clients",
    "Monitoring",
)
app.command(rich_help_panel=TRAINING)(demo)
app.command(rich_help_panel=VERSIONS)(evaluate)
app.command(rich_help_panel=VERSIONS)(robustness)
app.command(rich_help_panel=SERVING)(serve)
app.command(rich_help_panel=SERVING)(predict)
app.command(rich_help_panel=SERVING, context_settings={"auto_envvar_prefix": ENVIRONMENT})(gateway)
app.command(rich_help_panel=SERVING)(bench)
app.command(rich_help_panel=SERVING)(check_server)
app.add_typer(data_cli.app, name="data", rich_help_panel=TRAINING)
app.add_typer(training_cli.app, name="train", rich_help_panel=TRAINING)
app.add_typer(export_cli.app, name="export", rich_help_panel=VERSIONS)
app.add_typer(repository_cli.app, name="repository", rich_help_panel=VERSIONS)
app.add_typer(monitoring_cli.app, name="monitor", rich_help_panel=MONITORING)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"signs {version('traffic-sign-mlops')}")
        raise typer.Exit


@app.callback()
def _signs(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", metavar="", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Train networks that find and name traffic signs, publish them as checked versions, and serve them with Triton."""


def main() -> None:
    """Runs the command line; every expected problem is one line on standard error and exit code 1, of the gate 2."""
    run_program("signs", _run)


def _run() -> None:
    keep_loopback_direct()
    drop_foreign_variables()
    expand_variables()
    try:
        app(expand_arguments(sys.argv[1:]), prog_name="signs")
    except Exception as error:
        from traffic_sign_client.errors import ClientError  # which imports NumPy

        if isinstance(error, UndecidedError):
            end("signs", error.__cause__ or error, UNDECIDED, ClientError)
        end("signs", error, 1, ClientError)
