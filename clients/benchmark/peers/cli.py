"""`python -m clients.benchmark.peers`: the command line of the comparison."""

import json
import math
import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from clients.benchmark.peers.environments import default_home
from clients.benchmark.peers.exchange import TASKS, Task
from clients.benchmark.peers.servers import NAMES
from export.devices import DEVICES
from export.errors import ExportError
from serving.errors import ServingError
from traffic_sign_client.errors import ClientError
from training.errors import TrainingError

MOST_CLIENTS = 1024
INTERRUPTED = 130  # what shells call a program that ended on SIGINT

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def peers(
    servers: Annotated[str, typer.Option(help=f"Who takes part: {', '.join(NAMES)}.", show_default="all")] = "",
    tasks: Annotated[str, typer.Option(help="classify: crops; recognize: whole scenes.")] = "classify,recognize",
    repository: Annotated[Path, typer.Option("--repository", "-r", help="Folder of the models.")] = Path(
        "model_repository"
    ),
    device: Annotated[str, typer.Option(help="cpu, or cuda: everybody computes on the GPU.")] = "cpu",
    crops: Annotated[int, typer.Option(min=1, max=64, help="Crops in each request to classify.")] = 1,
    clients: Annotated[str, typer.Option(help="Clients of the closed loops.")] = "1,8,32,64",
    shares: Annotated[
        str, typer.Option(help="Rates of the open loops, as shares of what the best other answers.")
    ] = "0.5,0.8",
    rates: Annotated[str, typer.Option(help="Rates of the open loops a second, in place of shares.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="To measure each load for, a round.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Each loads everybody once, in a new order.")] = 3,
    first_settings: Annotated[
        bool, typer.Option("--first-settings", help="Take the first setting of each instead of trying all.")
    ] = False,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder or file of pictures to ask about.", show_default="drawn ones")
    ] = None,
    environments: Annotated[
        Path | None, typer.Option(help="Folder of the peers' environments.", show_default="in the user's cache")
    ] = None,
    home: Annotated[Path, typer.Option(help="Where tritonserver is, or is to be installed.")] = Path(".tritonserver"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the report.", show_default="runs/peers-TIME")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print peers.json.")] = False,
) -> None:
    """Compare Triton with FastAPI, LitServe, BentoML, MLServer and Ray Serve: the same networks, machine and load.

    Each server is installed into an environment of its own the first time, about 2 GB in all. The settings of each are
    tried, then all are loaded in turn, one at a time. Every load's answers are compared with ONNX Runtime's. A server
    that cannot be installed or started is named in the report, and the others are measured. Nothing else should run on
    the machine meanwhile.

    \b
    python -m clients.benchmark.peers
    python -m clients.benchmark.peers --servers litserve,triton --seconds 2 --rounds 1
    python -m clients.benchmark.peers --tasks recognize --pictures photographs --clients 1,4,16
    python -m clients.benchmark.peers --rates 200,400,800 --json
    python -m clients.benchmark.peers --device cuda --crops 32 --clients 1,8,32,128
    """
    from clients.benchmark.peers.run import Plan, run_comparison
    from clients.benchmark.peers.table import markdown
    from traffic_signs.console import Console

    plan = Plan(
        repository,
        _words("--servers", servers, NAMES) or list(NAMES),
        _tasks(tasks),
        [int(each) for each in _numbers("--clients", clients, 1, MOST_CLIENTS, whole=True)],
        _numbers("--rates", rates, 0.1, 1e6) if rates.strip() else [],
        _numbers("--shares", shares, 0.01, 10) if shares.strip() else [],
        seconds,
        rounds,
        not first_settings,
        pictures,
        environments or default_home(),
        home,
        output or Path(f"runs/peers-{datetime.now(UTC):%Y%m%d-%H%M%S}"),
        _words("--device", device, DEVICES)[:1] == ["cuda"],
        crops,
    )
    console = Console(stderr=True)
    summary = run_comparison(plan, lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))
    typer.echo(json.dumps(summary, indent=2) if as_json else markdown(summary), nl=as_json)
    console.print(f"look: {plan.output}/report.html, peers.md and peers.json", highlight=False, soft_wrap=True)


def _words(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    for word in words:
        if word not in known:
            raise typer.BadParameter(f"{word!r}: give some of {', '.join(known)}", param_hint=option)
    return words


def _tasks(text: str) -> list[Task]:
    words = _words("--tasks", text, TASKS)
    if not words:
        raise typer.BadParameter(f"give some of {', '.join(TASKS)}", param_hint="--tasks")
    return [task for task in TASKS if task in words]


def _numbers(option: str, text: str, least: float, most: float, whole: bool = False) -> list[float]:
    kind = "whole numbers" if whole else "numbers"
    found = set()
    for word in text.split(","):
        try:
            number = float(int(word)) if whole else float(word)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            message = f"{word.strip()!r}: give {kind} from {least:g} to {most:g} with commas between them"
            raise typer.BadParameter(message, param_hint=option)
        found.add(number)
    return sorted(found)


def main() -> None:
    """Runs the command line; every expected problem is one line on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(prog_name="python -m clients.benchmark.peers")
    except (ClientError, ExportError, ServingError, TrainingError) as error:
        sys.exit(f"peers: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"peers: {where}{error.strerror or error}: check the path, its rights and the free space")
    except ModuleNotFoundError as error:
        sys.exit(f"peers: {error.name} is not installed: pip install 'traffic-sign-mlops[train,export,client]'")
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # typer ends so on Ctrl-C, and says nothing
            print("peers: stopped", file=sys.stderr)
        raise


def _terminate(number: int, frame: FrameType | None) -> None:
    """Makes a polite kill end like Ctrl-C: context managers stop the servers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)
