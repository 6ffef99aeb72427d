"""The settings of a demo."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from traffic_signs.settings import REPOSITORY_FLAGS, BaseSettings, Home, Runs, Seed, Setting
from training.recipe import Epochs, Recipe, TrainingConfig


@dataclass(frozen=True)
class DemoSettings(BaseSettings):
    """What the demo learns from, and where it writes."""

    data: Annotated[
        Path | None,
        Setting(
            "GTSDB: a folder or FullIJCNN2013.zip, as PATH or gtsdb=PATH.",
            show_default="scenes that it draws",
        ),
    ] = None
    name: Annotated[
        str, Setting("Name of the run; its folder is RUNS/NAME.", metavar="NAME", show_default="demo-TIME")
    ] = ""
    runs: Runs = Path("runs")
    repository: Annotated[
        Path | None,
        Setting("Folder of the demo's model repository.", flags=REPOSITORY_FLAGS, show_default="RUNS/model_repository"),
    ] = None
    home: Home = Path(".tritonserver")
    epochs: Epochs = 0
    seed: Seed = 0

    @property
    def data_path(self) -> Path | None:
        """The path of the data, without the kind; a file may be called gtsdb=something."""
        is_path = self.data is None or self.data.exists()
        return self.data if is_path else Path(str(self.data).removeprefix("gtsdb="))

    @property
    def recipe(self) -> Recipe:
        """The recipe of the training: few data need more for calibration, and every sign in the end."""
        return Recipe(TrainingConfig(epochs=self.epochs, seed=self.seed), holdout=0.1, refit=True)

    def name_or_time(self) -> str:
        """Returns the name of the run; one made of the time if none is given."""
        return self.name or f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"
