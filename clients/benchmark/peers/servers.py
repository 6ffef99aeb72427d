"""The servers that are compared: how each is started, called and set.

The `settings` of a peer are tried before it is measured, and the fastest is taken: no server is measured at a default
that anybody who cares about speed would change. The peer's own program reads them as environment variables.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clients.benchmark.peers import exchange
from clients.benchmark.peers.exchange import Exchange
from export.hardware_fit import name_for
from export.repository.configuration import GPU
from export.repository.manifest import GPU_FILE
from traffic_signs.environment import SWITCHES

FOLDER = Path(__file__).parent
CUDA_REQUIREMENTS = FOLDER / "common" / "requirements-cuda.txt"
# What the programs import of ours, and nothing of what is installed beside it.
PACKAGES = ("clients", "serving", "traffic_signs")
FEW = 4  # most processes that share a GPU
FIXED = "FIXED_BATCH"  # setting: 1 is the file for GPUs, whose batch is fixed

Variables = dict[str, str]


@dataclass(frozen=True)
class Hardware:
    """What every server computes on."""

    cores: int
    gpu: bool = False  # the networks run on a GPU, and the cores do the rest

    @property
    def device(self) -> str:
        """The device, as the programs read it."""
        return "cuda" if self.gpu else "cpu"

    @property
    def configuration(self) -> str:
        """Name of Triton's configuration for it: in fp32 on CPUs, because all servers run the same file."""
        return GPU if self.gpu else name_for(self.cores)

    @property
    def processes(self) -> str:
        """How many processes use it well: one per core, or a few that share a GPU."""
        return str(min(self.cores, FEW) if self.gpu else self.cores)


@dataclass(frozen=True)
class Peer:
    """A server that people would otherwise use."""

    name: str  # also of its folder beside this file, which has its locked packages
    title: str  # its name in reports
    package: str  # whose version is reported
    exchange: Exchange  # how it is called
    settings: Callable[[Hardware, int], list[Variables]]  # returns those to try, by hardware and largest batch
    # Returns its command line, whose program is in its environment, for the folder of `server.py` and a port.
    command: Callable[[Path, int], tuple[str, ...]] = lambda folder, port: ("python", str(folder / "server.py"))
    program: str = ""  # folder of `server.py`, if that is another peer's too
    runtime: str = "onnxruntime"  # the package that computes

    @property
    def folder(self) -> Path:
        """Where its program is."""
        return FOLDER / (self.program or self.name)

    def requirements(self, gpu: bool) -> str:
        """Returns its locked packages, a line each; on a GPU with that build of ONNX Runtime and its libraries."""
        lines = (FOLDER / self.name / "requirements.txt").read_text().splitlines()
        if gpu and self.runtime == "onnxruntime":
            lines = [line for line in lines if not line.startswith("onnxruntime==")]
            lines += CUDA_REQUIREMENTS.read_text().splitlines()
        return "\n".join(lines) + "\n"

    def runtime_package(self, gpu: bool) -> str:
        """Returns the package that computes; PyTorch has one for CPUs and GPUs."""
        return "onnxruntime-gpu" if gpu and self.runtime == "onnxruntime" else self.runtime


def _fastapi(hardware: Hardware, batch: int) -> list[Variables]:
    settings = _fastapi_pytorch(hardware, batch)
    if not hardware.gpu:
        return settings
    # With one crop per request the batch size never changes, which needs no fixed batch; scenes have many crops.
    return [{**each, FIXED: fixed} for fixed in "01" for each in settings]


def _fastapi_pytorch(hardware: Hardware, batch: int) -> list[Variables]:
    # No fixed batch: PyTorch chooses the algorithm of a convolution by rules and does not search at a new batch size.
    several, one = {"WORKERS": hardware.processes, "THREADS": "1"}, {"WORKERS": "1", "POOL": "1", "THREADS": "1"}
    pooled = [{**several, "POOL": "0"}, {**several, "POOL": "1"}]
    return [one, *pooled] if hardware.gpu else [*pooled, one, {**one, "THREADS": hardware.processes}]


def _litserve(hardware: Hardware, batch: int) -> list[Variables]:
    size, several = {"BATCH": str(batch), "DELAY_MS": "1", "THREADS": "1"}, hardware.processes
    if hardware.gpu:
        size[FIXED] = "1"
        tried = [("1", "1"), ("1", several), ("2", several)]
    else:
        tried = [(several, "1"), (several, several)]
    settings = [{**size, "WORKERS": workers, "API_SERVERS": servers} for workers, servers in tried]
    if not hardware.gpu:
        settings.insert(0, {**size, "WORKERS": "1", "API_SERVERS": "1", "THREADS": several})
    return [*settings, {**size, "WORKERS": "1", "API_SERVERS": several, "FAST_QUEUE": "1"}]


def _mlserver(hardware: Hardware, batch: int) -> list[Variables]:
    size = {"MLSERVER_MODEL_MAX_BATCH_SIZE": str(batch), "MLSERVER_MODEL_MAX_BATCH_TIME": "0.001"}
    several, workers = hardware.processes, "MLSERVER_PARALLEL_WORKERS"
    if hardware.gpu:
        return [{**size, workers: number, "THREADS": "1", FIXED: "1"} for number in ("0", "1", several)]
    return [
        {**size, workers: number, "THREADS": threads}
        for number, threads in (("0", several), ("0", "1"), (several, "1"))
    ]


def _bentoml(hardware: Hardware, batch: int) -> list[Variables]:
    size = {"BATCH": str(batch)}
    if hardware.gpu:
        return [{**size, "WORKERS": workers, "THREADS": "1", FIXED: "1"} for workers in ("1", "2")]
    several = hardware.processes
    return [{**size, "WORKERS": several, "THREADS": "1"}, {**size, "WORKERS": "1", "THREADS": several}]


def _ray_serve(hardware: Hardware, batch: int) -> list[Variables]:
    return [{**each, "DELAY_MS": "1"} for each in _bentoml(hardware, batch)]


def _bentoml_command(folder: Path, port: int) -> tuple[str, ...]:
    options = ("--working-dir", str(folder), "--host", "127.0.0.1", "--port", str(port))
    return "python", "-m", "bentoml", "serve", "server:Signs", *options


RAW = exchange.raw()
PEERS = (
    Peer("fastapi_onnxruntime", "FastAPI + ONNX Runtime", "fastapi", RAW, _fastapi, program="fastapi"),
    Peer(
        *("fastapi_pytorch", "FastAPI + PyTorch eager", "torch", RAW, _fastapi_pytorch),
        program="fastapi",
        runtime="torch",
    ),
    Peer("litserve", "LitServe", "litserve", RAW, _litserve),
    Peer("bentoml", "BentoML", "bentoml", exchange.bentoml(), _bentoml, _bentoml_command),
    Peer(
        *("mlserver", "MLServer", "mlserver", exchange.mlserver(), _mlserver),
        command=lambda folder, port: ("mlserver", "start", str(folder)),
    ),
    Peer("ray_serve", "Ray Serve", "ray", RAW, _ray_serve),
)
TRITON = "triton"
NAMES = (*(peer.name for peer in PEERS), TRITON)


def fixed_files(models: dict[str, Path]) -> dict[str, Path]:
    """Returns the paths of the files for GPUs, by name of the model, beside those for CPUs."""
    return {model: path.with_name(GPU_FILE) for model, path in models.items()}


def environment_of(
    peer: Peer, models: dict[str, Path], setting: Variables, port: int, folder: Path, device: str = "cpu"
) -> Variables:
    """Returns all environment variables of a peer in a working folder with links to PACKAGES.

    `models` has the ONNX files for CPUs; with the setting FIXED those for GPUs beside them are taken.
    """
    # A user's own variables for Python and threads must not reach the servers.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OMP_", "MLSERVER_"))}
    kept.pop("VIRTUAL_ENV", None)
    files = fixed_files(models) if setting.get(FIXED) == "1" else models
    return {
        **kept,
        "DETECTOR": "",
        **{model.removeprefix("sign_").upper(): str(path.resolve()) for model, path in files.items()},
        "DEVICE": device,
        "RUNTIME": peer.runtime,
        "PORT": str(port),
        "PYTHONPATH": os.pathsep.join((str(folder), str(peer.folder))),
        "PYTHONUNBUFFERED": "1",
        # No server may send usage data, or wait for that.
        **SWITCHES,
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(folder),  # the default is in the home folder
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(port),
        "MLSERVER_GRPC_PORT": "0",  # any free port
        "MLSERVER_METRICS_PORT": "0",
        "MLSERVER_DEBUG": "false",
        "MLSERVER_GZIP_ENABLED": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # it would write a token into the home folder
        # The defaults of 30, 5 and 10 seconds are too short on a busy machine.
        "RAY_raylet_start_wait_time_s": "240",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "240",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
        **setting,
    }
