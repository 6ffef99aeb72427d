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
from export.hardware_fit import name_for
from export.repository.configuration import GPU
from export.repository.manifest import GPU_FILE
from traffic_signs.environment import SWITCHES

HERE = Path(__file__).parent
COMMON = HERE / "common"
FEW = 4  # processes, at most, that share a GPU
FIXED = "FIXED_BATCH"  # setting: 1 is the file for GPUs, in which the batch is fixed

Variables = dict[str, str]


@dataclass(frozen=True)
class Hardware:
    """What every server computes on.

    Attributes:
        cores: that it may use.
        gpu: the networks run on a GPU, and the cores do what is around them.
    """

    cores: int
    gpu: bool = False

    @property
    def device(self) -> str:
        """As peers read it."""
        return "cuda" if self.gpu else "cpu"

    @property
    def configuration(self) -> str:
        """Name of the configuration that Triton takes."""
        return GPU if self.gpu else name_for(self.cores)


@dataclass(frozen=True)
class Peer:
    """A server that people would otherwise use.

    Attributes:
        name: of it, and of its folder beside this file, which holds its program and its locked packages.
        title: for people.
        package: whose version is reported.
        exchange: how it is asked.
        command: returns its command line, for the folder of its programs, its own folder and a port.
        settings: returns the variables to try, for the hardware and the largest batch.
        variables: returns more variables, for a port.
        runtime: package that computes.
    """

    name: str
    title: str
    package: str
    exchange: Exchange
    command: Callable[[Path, Path, int], list[str]]
    settings: Callable[[Hardware, int], list[Variables]]
    variables: Callable[[int], Variables] = lambda port: {"PORT": str(port)}
    runtime: str = "onnxruntime"

    @property
    def folder(self) -> Path:
        """Where its program is."""
        return HERE / self.name

    def requirements(self, gpu: bool) -> str:
        """Returns its locked packages, a line each; for a GPU with that build of ONNX Runtime, and what it needs."""
        lines = (self.folder / "requirements.txt").read_text().splitlines()
        if gpu and self.runtime == "onnxruntime":
            lines = [line for line in lines if not line.startswith("onnxruntime==")]
            lines += (COMMON / "requirements-cuda.txt").read_text().splitlines()
        return "\n".join(lines) + "\n"

    def runtime_package(self, gpu: bool) -> str:
        """Returns the package that computes; PyTorch is one package for both."""
        return "onnxruntime-gpu" if gpu and self.runtime == "onnxruntime" else self.runtime


def _program(programs: Path, folder: Path, port: int) -> list[str]:
    return [str(programs / "python"), str(folder / "server.py")]


def _fastapi_settings(hardware: Hardware, batch: int) -> list[Variables]:
    settings = _processes(hardware)
    if not hardware.gpu:
        return settings
    # One crop a request is one batch size for ever, which needs no fixed batch; the crops of scenes are of many.
    return [{**each, FIXED: fixed} for fixed in "01" for each in settings]


def _processes(hardware: Hardware) -> list[Variables]:
    if hardware.gpu:
        several = {"WORKERS": str(min(hardware.cores, FEW)), "THREADS": "1"}
        return [{"WORKERS": "1", "POOL": "1", "THREADS": "1"}, {**several, "POOL": "0"}, {**several, "POOL": "1"}]
    cores = str(hardware.cores)
    processes, one = {"WORKERS": cores, "THREADS": "1"}, {"WORKERS": "1", "POOL": "1"}
    return [
        {**processes, "POOL": "0"},
        {**processes, "POOL": "1"},
        {**one, "THREADS": "1"},
        {**one, "THREADS": cores},
    ]


def _pytorch_settings(hardware: Hardware, batch: int) -> list[Variables]:
    # PyTorch takes an algorithm for a convolution by rules, and searches none at a new batch size.
    return _processes(hardware)


def _litserve_settings(hardware: Hardware, batch: int) -> list[Variables]:
    size = {"BATCH": str(batch), "DELAY_MS": "1"}
    if hardware.gpu:
        size, few = {**size, "THREADS": "1", FIXED: "1"}, str(min(hardware.cores, FEW))
        return [
            {**size, "WORKERS": "1", "API_SERVERS": "1"},
            {**size, "WORKERS": "1", "API_SERVERS": few},
            {**size, "WORKERS": "2", "API_SERVERS": few},
            {**size, "WORKERS": "1", "API_SERVERS": few, "FAST_QUEUE": "1"},
        ]
    cores = str(hardware.cores)
    return [
        {**size, "WORKERS": "1", "THREADS": cores, "API_SERVERS": "1"},
        {**size, "WORKERS": cores, "THREADS": "1", "API_SERVERS": "1"},
        {**size, "WORKERS": cores, "THREADS": "1", "API_SERVERS": cores},
        {**size, "WORKERS": "1", "THREADS": "1", "API_SERVERS": cores, "FAST_QUEUE": "1"},
    ]


def _mlserver_settings(hardware: Hardware, batch: int) -> list[Variables]:
    size = {"MLSERVER_MODEL_MAX_BATCH_SIZE": str(batch), "MLSERVER_MODEL_MAX_BATCH_TIME": "0.001"}
    if hardware.gpu:
        return [
            {**size, "MLSERVER_PARALLEL_WORKERS": workers, "THREADS": "1", FIXED: "1"}
            for workers in ("0", "1", str(min(hardware.cores, FEW)))
        ]
    cores = str(hardware.cores)
    return [
        {**size, "MLSERVER_PARALLEL_WORKERS": "0", "THREADS": cores},
        {**size, "MLSERVER_PARALLEL_WORKERS": "0", "THREADS": "1"},
        {**size, "MLSERVER_PARALLEL_WORKERS": cores, "THREADS": "1"},
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


def _bentoml_settings(hardware: Hardware, batch: int) -> list[Variables]:
    return [{"BATCH": str(batch), **each} for each in _workers(hardware)]


def _ray_settings(hardware: Hardware, batch: int) -> list[Variables]:
    return [{"BATCH": str(batch), "DELAY_MS": "1", **each} for each in _workers(hardware)]


def _workers(hardware: Hardware) -> list[Variables]:
    if hardware.gpu:
        return [{"WORKERS": workers, "THREADS": "1", FIXED: "1"} for workers in ("1", "2")]
    cores = str(hardware.cores)
    return [{"WORKERS": cores, "THREADS": "1"}, {"WORKERS": "1", "THREADS": cores}]


PEERS = (
    Peer("fastapi_onnxruntime", "FastAPI + ONNX Runtime", "fastapi", exchange.raw(), _program, _fastapi_settings),
    Peer(
        "fastapi_pytorch",
        "FastAPI + PyTorch eager",
        "torch",
        exchange.raw(),
        _program,
        _pytorch_settings,
        runtime="torch",
    ),
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


def fixed_files(models: dict[str, Path]) -> dict[str, Path]:
    """Returns the paths of the files for GPUs, by name of the model, which lie beside those for CPUs."""
    return {model: path.with_name(GPU_FILE) for model, path in models.items()}


def environment_of(
    peer: Peer, task: Task, models: dict[str, Path], setting: Variables, port: int, device: str = "cpu"
) -> Variables:
    """Returns all variables that a peer is started with.

    Args:
        peer: to start.
        task: what it is asked.
        models: paths of the ONNX files for CPUs, by name of the model.
        setting: one of its settings.
        port: where it is to listen.
        device: that it computes on.
    """
    # What a person's own environment says of Python and of threads must not reach the servers.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OMP_", "MLSERVER_"))}
    kept.pop("VIRTUAL_ENV", None)
    files = fixed_files(models) if setting.get(FIXED) == "1" else models
    paths = {model.removeprefix("sign_").upper(): str(path.resolve()) for model, path in files.items()}
    return {
        **kept,
        **paths,
        "TASK": task,
        "DEVICE": device,
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
