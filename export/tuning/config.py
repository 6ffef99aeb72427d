"""The settings of tuning: the serving settings to try, and the load."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import BaseSettings, Home, Repository, Setting

MOST_BATCH = 4096  # of an exported graph


@dataclass(frozen=True)
class Load(BaseSettings):
    """The load on a server."""

    concurrency: Annotated[int, Setting("Concurrent requests.", min=1, max=4096)] = 32
    seconds: Annotated[float, Setting("To measure each setting for, a round.", min=0.1, max=600)] = 2
    rounds: Annotated[int, Setting("Each measures all settings in a new order.", min=1, max=100)] = 3
    channels: Annotated[int, Setting("gRPC connections that the requests are spread over.", min=1, max=64)] = 1
    grpc_threads: Annotated[
        int,
        Setting("Threads of the server for gRPC; 0: its default.", min=0, max=128),
    ] = 0


@dataclass(frozen=True)
class TuningConfig(BaseSettings):
    """What is tuned, and how; an empty tuple chooses values for the machine and the version."""

    model: Annotated[str, Setting("Name of a model, such as sign_classifier.", argument=True)]
    latency_budget_ms: Annotated[float, Setting("Largest p99 in milliseconds.", min=0.001)]
    version: Annotated[
        int | None, Setting("Number of a version.", min=1, show_default="the one that is served", argument=True)
    ] = None
    repository: Repository = "model_repository"
    instances: Annotated[
        tuple[int, ...],
        Setting(
            "Copies of the model to try.", min=1, max=64, show_default="1, 2 and as many as cores; on a GPU 1, 2 and 4"
        ),
    ] = ()
    threads: Annotated[
        tuple[int, ...],
        Setting(
            "Threads of each instance to try; 0: all.",
            min=0,
            max=1024,
            show_default="1 and as many as cores; on a GPU 0",
        ),
    ] = ()
    queue_delay_us: Annotated[
        tuple[int, ...], Setting("Microseconds to wait for a batch to fill, to try.", min=0, max=10_000_000)
    ] = (0, 200)
    max_batch: Annotated[
        tuple[int, ...],
        Setting(
            "Largest batches to try; on a GPU each gets a file with that fixed batch.",
            min=1,
            max=MOST_BATCH,
            show_default="an eighth, half and all of the present one",
        ),
    ] = ()
    load: Load = field(default_factory=Load)
    configuration: Annotated[
        str, Setting("configs/NAME.pbtxt that is tuned, as gpu.", show_default="what fits this machine")
    ] = ""
    home: Home = Path(".tritonserver")
