"""The `signs` command: a sub-command for each stage, imported only when it is called."""

import signal
import sys
from types import FrameType

import typer

from clients.demo.cli import demo
from clients.errors import ClientError
from clients.evaluate import evaluate
from clients.predict import predict
from export import cli as export_cli
from export import repository_cli
from export.errors import ExportError
from monitoring import cli as monitoring_cli
from monitoring.errors import MonitoringError
from serving.cli import serve
from serving.errors import ServingError
from training import cli as training_cli
from training.data import cli as data_cli
from training.errors import TrainingError

INTERRUPTED = 130  # what shells call a program that ended on SIGINT

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
app.command()(serve)
app.command()(predict)


@app.callback()
def _signs() -> None:
    """Learn German traffic signs, export them with proof, serve them from Triton."""


def main() -> None:
    """Runs the command line; every expected problem is one line on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except (TrainingError, ExportError, ServingError, ClientError, MonitoringError) as error:
        _fail(str(error), 1)
    except OSError as error:  # a file in place of a folder, a full disk, a right that is missing
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}: check the path, its rights and the free space", 1)
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed: pip install 'traffic-sign-mlops[train,export,client,monitoring]'", 1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer ends so on Ctrl-C, and says nothing
            _fail("stopped", INTERRUPTED)
        raise


def _fail(message: str, code: int) -> None:
    print(f"signs: {message}", file=sys.stderr)
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Makes a polite kill end like Ctrl-C: context managers stop servers and remove half-written files."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)
