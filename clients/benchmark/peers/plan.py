"""The settings of a comparison: the servers, the tasks and the loads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from clients.benchmark.peers.exchange import Task
from clients.benchmark.peers.servers import NAMES
from traffic_signs.settings import DEFAULT_REPOSITORY, BaseSettings, Home, RepositoryFolder, Rounds, Setting

MOST_CLIENTS = 1024


@dataclass(frozen=True)
class Plan(BaseSettings):
    """The settings of a comparison."""

    servers: Annotated[tuple[str, ...], Setting(f"Servers: {', '.join(NAMES)}.", show_default="all", choices=NAMES)] = (
        NAMES
    )
    tasks: Annotated[tuple[Task, ...], Setting("classify: crops; recognize: whole scenes.")] = (
        "classify",
        "recognize",
    )
    repository: RepositoryFolder = Path(DEFAULT_REPOSITORY)
    device: Annotated[Literal["cpu", "cuda"], Setting("cpu, or cuda to run all servers on the GPU.")] = "cpu"
    crops: Annotated[int, Setting("Crops in each request to classify.", min=1, max=64)] = 1
    clients: Annotated[tuple[int, ...], Setting("Clients of the closed loops.", min=1, max=MOST_CLIENTS)] = (
        1,
        8,
        32,
        64,
    )
    shares: Annotated[
        tuple[float, ...],
        Setting("Rates of the open loops, as shares of the throughput of the best other server.", min=0.01, max=10),
    ] = (0.5, 0.8)
    rates: Annotated[
        tuple[float, ...],
        Setting("Rates of the open loops a second, in place of shares.", min=0.1, max=1e6),
    ] = ()
    seconds: Annotated[float, Setting("Seconds to measure each load, in each round.", min=0.1, max=600)] = 5
    rounds: Rounds = 3
    first_settings: Annotated[
        bool,
        Setting("Take the first setting of each instead of trying all."),
    ] = False
    pictures: Annotated[Path | None, Setting("Folder, zip or file of pictures to send.", show_default="drawn ones")] = (
        None
    )
    environments: Annotated[
        Path | None, Setting("Folder of the peers' environments.", show_default="in the user's cache")
    ] = None
    home: Home = Path(".tritonserver")

    @property
    def gpu(self) -> bool:
        """Whether all servers compute on the GPU."""
        return self.device == "cuda"
