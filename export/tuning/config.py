"""The settings of tuning: the serving settings to try, and the load."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import (
    DEFAULT_REPOSITORY,
    BaseSettings,
    Concurrency,
    FittingConfiguration,
    GrpcThreads,
    Home,
    Model,
    Repository,
    Rounds,
    Setting,
)

MOST_BATCH = 4096  # of an exported graph


@dataclass(frozen=True)
class Load(BaseSettings):
    """The load on a server."""

    concurrency: Concurrency = 32
    seconds: Annotated[float, Setting("Seconds of each measurement in a round.", min=0.1, max=600)] = 2
    rounds: Rounds = 3
    channels: Annotated[int, Setting("Number of gRPC connections.", min=1, max=64)] = 1
    grpc_threads: GrpcThreads = 0


@dataclass(frozen=True)
class TuningConfig(BaseSettings):
    """What is tuned, and how; an empty tuple chooses values for the machine and the version."""

    model: Model
    latency_budget_ms: Annotated[float, Setting("Largest p99 latency in milliseconds.", min=0.001)]
    version: Annotated[
        int | None, Setting("Number of a version.", min=1, show_default="the served one", argument=True)
    ] = None
    repository: Repository = DEFAULT_REPOSITORY
    instances: Annotated[
        tuple[int, ...],
        Setting(
            "Numbers of instances of the model to try.",
            min=1,
            max=64,
            show_default="1, 2 and the number of cores up to 8; on a GPU 1, 2 and 4",
        ),
    ] = ()
    threads: Annotated[
        tuple[int, ...],
        Setting(
            "Numbers of threads in each instance to try; 0: all cores.",
            min=0,
            max=1024,
            show_default="1, the cores of an instance, and all; on a GPU 0",
        ),
    ] = ()
    queue_delay_us: Annotated[
        tuple[int, ...], Setting("Queue delays of the dynamic batcher to try, in microseconds.", min=0, max=10_000_000)
    ] = (0, 200)
    max_batch: Annotated[
        tuple[int, ...],
        Setting(
            "Largest batch sizes to try; on a GPU each gets a file with that fixed batch.",
            min=1,
            max=MOST_BATCH,
            show_default="an eighth, half and all of the served version's",
        ),
    ] = ()
    load: Load = field(default_factory=Load)
    configuration: FittingConfiguration = ""
    home: Home = Path(".tritonserver")
