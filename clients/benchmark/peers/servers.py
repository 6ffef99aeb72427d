"""The servers that are compared: how each is started, asked and set.

`settings` of a peer are tried in turn before it is measured, and the best is: nobody's figures are those of a default
that a person who cares for speed would have changed. What they say is read by the peer's own server program.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clients.benchmark.peers import exchange
from clients.benchmark.peers.exchange import Exchange, Task
from traffic_signs.environment import SWITCHES

HERE = Path(__file__).parent
COMMON = HERE / "common"

Variables = dict[str, str]


@dataclass(frozen=True)
class Peer:
    """A server that people would otherwise use.

    Attributes:
        name: of it, and of its folder beside this file, which holds its program and its locked packages.
        title: for people.
        package: whose version is reported.
        exchange: how it is asked.
        command: returns its command line, for the folder of its programs, its own folder and a port.
        settings: returns the variables to try, for a number of cores and the largest batch.
        variables: returns more variables, for a port.
    """

    name: str
    title: str
    package: str
    exchange: Exchange
    command: Callable[[Path, Path, int], list[str]]
    settings: Callable[[int, int], list[Variables]]
    variables: Callable[[int], Variables] = lambda port: {"PORT": str(port)}

    @property
    def folder(self) -> Path:
        """Where its program is."""
        return HERE / self.name

    @property
    def requirements(self) -> Path:
        """Its locked packages."""
        return self.folder / "requirements.txt"


def _program(programs: Path, folder: Path, port: int) -> list[str]:
    return [str(programs / "python"), str(folder / "server.py")]


def _fastapi_settings(cores: int, batch: int) -> list[Variables]:
    processes = {"WORKERS": str(cores), "THREADS": "1"}
    one = {"WORKERS": "1", "POOL": "1"}
    return [
        {**processes, "POOL": "0"},
        {**processes, "POOL": "1"},
        {**one, "THREADS": "1"},
        {**one, "THREADS": str(cores)},
    ]


def _litserve_settings(cores: int, batch: int) -> list[Variables]:
    size = {"BATCH": str(batch), "DELAY_MS": "1"}
    return [
        {**size, "WORKERS": "1", "THREADS": str(cores), "API_SERVERS": "1"},
        {**size, "WORKERS": str(cores), "THREADS": "1", "API_SERVERS": "1"},
        {**size, "WORKERS": str(cores), "THREADS": "1", "API_SERVERS": str(cores)},
        {**size, "WORKERS": "1", "THREADS": "1", "API_SERVERS": str(cores), "FAST_QUEUE": "1"},
    ]


def _mlserver_settings(cores: int, batch: int) -> list[Variables]:
    size = {"MLSERVER_MODEL_MAX_BATCH_SIZE": str(batch), "MLSERVER_MODEL_MAX_BATCH_TIME": "0.001"}
    return [
        {**size, "MLSERVER_PARALLEL_WORKERS": "0", "THREADS": str(cores)},
        {**size, "MLSERVER_PARALLEL_WORKERS": "0", "THREADS": "1"},
        {**size, "MLSERVER_PARALLEL_WORKERS": str(cores), "THREADS": "1"},
    ]


def _mlserver_variables(port: int) -> Variables:
    # A port of 0 is any free one: nobody asks there.
    return {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": "0",
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_GZIP_ENABLED": "false",
    }


def _bentoml_settings(cores: int, batch: int) -> list[Variables]:
    return [
        {"BATCH": str(batch), "WORKERS": str(cores), "THREADS": "1"},
        {"BATCH": str(batch), "WORKERS": "1", "THREADS": str(cores)},
    ]


def _ray_settings(cores: int, batch: int) -> list[Variables]:
    size = {"BATCH": str(batch), "DELAY_MS": "1"}
    return [
        {**size, "WORKERS": "1", "THREADS": str(cores)},
        {**size, "WORKERS": str(cores), "THREADS": "1"},
    ]


PEERS = (
    Peer("fastapi_onnxruntime", "FastAPI + ONNX Runtime", "fastapi", exchange.raw(), _program, _fastapi_settings),
    Peer("fastapi_pytorch", "FastAPI + PyTorch eager", "torch", exchange.raw(), _program, _fastapi_settings),
    Peer("litserve", "LitServe", "litserve", exchange.raw(), _program, _litserve_settings),
    Peer(
        "bentoml",
        "BentoML",
        "bentoml",
        exchange.bentoml(),
        lambda programs, folder, port: [
            *(str(programs / "python"), "-m", "bentoml", "serve", "server:Signs"),
            *("--working-dir", str(folder), "--host", "127.0.0.1", "--port", str(port)),
        ],
        _bentoml_settings,
    ),
    Peer(
        "mlserver",
        "MLServer",
        "mlserver",
        exchange.mlserver(),
        lambda programs, folder, port: [str(programs / "mlserver"), "start", str(folder)],
        _mlserver_settings,
        _mlserver_variables,
    ),
    Peer("ray_serve", "Ray Serve", "ray", exchange.raw(), _program, _ray_settings),
)
TRITON = "triton"
TRITON_TITLE = "this project's Triton"
NAMES = (*(peer.name for peer in PEERS), TRITON)

LARGEST_BATCH: dict[Task, int] = {"classify": 32, "recognize": 8}


def usable_cores() -> int:
    """Returns how many cores this process, and with it every server, may use."""
    return len(os.sched_getaffinity(0))


def environment_of(peer: Peer, task: Task, models: dict[str, Path], setting: Variables, port: int) -> Variables:
    """Returns all variables that a peer is started with.

    Args:
        peer: to start.
        task: what it is asked.
        models: paths of the ONNX files, by name of the model.
        setting: one of its settings.
        port: where it is to listen.
    """
    # What a person's own environment says of Python and of threads must not reach the servers.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OMP_", "MLSERVER_"))}
    kept.pop("VIRTUAL_ENV", None)
    paths = {model.removeprefix("sign_").upper(): str(path.resolve()) for model, path in models.items()}
    return {
        **kept,
        **paths,
        "TASK": task,
        "PYTHONPATH": os.pathsep.join((str(COMMON), str(peer.folder))),
        "PYTHONUNBUFFERED": "1",
        # No peer may call home, nor wait for that.
        **SWITCHES,
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # it would write a token into the home folder
        # A machine that is busy needs more than its 30, 5 and 10 seconds.
        "RAY_raylet_start_wait_time_s": "240",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "240",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        **peer.variables(port),
        **setting,
    }
