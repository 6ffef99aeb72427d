"""The settings of a tritonserver that `signs serve` starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from serving.own_server import BACKENDS, PROGRAM
from traffic_signs.settings import (
    DEFAULT_REPOSITORY,
    TRACES,
    BaseSettings,
    FittingConfiguration,
    GrpcThreads,
    Home,
    Host,
    PublicKey,
    RepositoryFolder,
    Setting,
)


@dataclass(frozen=True)
class ServerSettings(BaseSettings):
    """Which tritonserver serves what, and where it listens."""

    repository: RepositoryFolder = Path(DEFAULT_REPOSITORY)
    http_port: Annotated[int, Setting("Port for HTTP.", min=1, max=65535, metavar="PORT")] = 8000
    grpc_port: Annotated[int, Setting("Port for gRPC.", min=1, max=65535, metavar="PORT")] = 8001
    metrics_port: Annotated[int, Setting("Port for Prometheus metrics.", min=1, max=65535, metavar="PORT")] = 8002
    host: Host = "127.0.0.1"
    home: Home = Path(".tritonserver")
    tritonserver: Annotated[
        Path | None,
        Setting("A tritonserver of your own, such as /opt/triton/bin/tritonserver.", envvars=(PROGRAM,)),
    ] = None
    backends: Annotated[
        Path | None, Setting("Folder of its backends, if they are not beside it.", envvars=(BACKENDS,))
    ] = None
    allow_client_shm: Annotated[bool, Setting("Allow clients to pass inputs in shared memory of this machine.")] = False
    unsafe_old_server: Annotated[
        bool, Setting("Listen on a network with a server that has known security holes (SECURITY.md).")
    ] = False
    public_key: PublicKey = None
    no_verify: Annotated[bool, Setting("Start without checking files and signatures.")] = False
    cache: Annotated[
        int, Setting("Memory for the answers of models with a response cache; 0: none.", min=0, metavar="MB")
    ] = 0
    reloadable: Annotated[
        bool, Setting("Allow `signs repository roll-out` to load other versions while it serves.")
    ] = False
    traces: Annotated[str, TRACES] = ""
    configuration: FittingConfiguration = ""
    grpc_threads: GrpcThreads = 0
    log: Annotated[
        Path | None, Setting("File for the server's own log.", show_default="runs/tritonserver-PORT.log")
    ] = None
