"""The `signs` command: a sub-command for each stage, imported only when it is called."""

import sys

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
    epilog="A first walk: signs demo, then signs serve in one terminal and signs predict --crops IMAGE in another.",
)
app.command()(demo)
app.add_typer(data_cli.app, name="data")
app.add_typer(training_cli.app, name="train")
app.add_typer(export_cli.app, name="export")
app.add_typer(repository_cli.app, name="repository")
app.add_typer(monitoring_cli.app, name="monitor")
app.command()(evaluate)
app.command()(robustness)
app.command()(serve)
app.command(context_settings={"auto_envvar_prefix": ENVIRONMENT})(gateway)
app.command()(predict)
app.command()(bench)
app.command()(check_server)


@app.callback()
def _signs() -> None:
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
