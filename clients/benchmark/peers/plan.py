"""The settings of a comparison: who takes part, what they are asked, and under which load."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from clients.benchmark.peers.exchange import Task
from clients.benchmark.peers.servers import NAMES
from traffic_signs.settings import BaseSettings, Home, Setting

MOST_CLIENTS = 1024


@dataclass(frozen=True)
class Plan(BaseSettings):
    """What is compared, and how."""

    servers: Annotated[
        tuple[str, ...], Setting(f"Who takes part: {', '.join(NAMES)}.", show_default="all", choices=NAMES)
    ] = NAMES
    tasks: Annotated[tuple[Task, ...], Setting("classify: crops; recognize: whole scenes.")] = (
        "classify",
        "recognize",
    )
    repository: Annotated[Path, Setting("Folder of the models.", flags=("--repository", "-r"))] = Path(
        "model_repository"
    )
    device: Annotated[Literal["cpu", "cuda"], Setting("cpu, or cuda: all servers compute on the GPU.")] = "cpu"
    crops: Annotated[int, Setting("Crops in each request to classify.", min=1, max=64)] = 1
    clients: Annotated[tuple[int, ...], Setting("Clients of the closed loops.", min=1, max=MOST_CLIENTS)] = (
        1,
        8,
        32,
        64,
    )
    shares: Annotated[
        tuple[float, ...],
        Setting("Rates of the open loops, as shares of what the best other answers.", min=0.01, max=10),
    ] = (0.5, 0.8)
    rates: Annotated[
        tuple[float, ...],
        Setting("Rates of the open loops a second, in place of shares.", min=0.1, max=1e6),
    ] = ()
    seconds: Annotated[float, Setting("To measure each load for, a round.", min=0.1, max=600)] = 5
    rounds: Annotated[int, Setting("Each loads everybody once, in a new order.", min=1, max=100)] = 3
    first_settings: Annotated[
        bool,
        Setting("Take the first setting of each instead of trying all."),
    ] = False
    pictures: Annotated[Path | None, Setting("Folder or file of pictures to ask about.", show_default="drawn ones")] = (
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
