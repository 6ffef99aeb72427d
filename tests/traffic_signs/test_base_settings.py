"""Settings: what their fields refuse, and the options that typer makes of them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from export.gate.config import GateConfig, GateLimits
from export.tuning.config import TuningConfig
from traffic_signs.options import with_options
from traffic_signs.settings import BaseSettings, Setting, SettingError, describe
from training.recipe import DetectorRecipe, Recipe, TrainingConfig

Numbers = Annotated[tuple[int, ...], Setting("Numbers.", min=1, max=8)]


@dataclass(frozen=True)
class Inner(BaseSettings):
    share: Annotated[float, Setting("A share.", min=0, max=1)] = 0.5
    hidden: int = 3


@dataclass(frozen=True)
class Outer(BaseSettings):
    name: Annotated[str, Setting("A name.", argument=True)]
    inner: Inner = field(default_factory=Inner)
    numbers: Numbers = (1, 2)
    tasks: Annotated[tuple[Literal["a", "b"], ...], Setting("Tasks.")] = ()
    again: Annotated[tuple[str, ...], Setting("More.", repeatable=True)] = ("x",)
    device: Annotated[Literal["cpu", "gpu"], Setting("Where.")] = "cpu"
    folder: Annotated[Path | None, Setting("A folder.", flags=("--output", "-o"), show_default="none")] = None
    fast: Annotated[bool, Setting("Fast.")] = False
    cached: Annotated[bool | None, Setting("With a cache.", show_default="that of the server")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast and self.device == "cpu":
            raise SettingError("fast needs a GPU: choose gpu")


def parse(*arguments: str, **environment: str) -> tuple[Result, list[Outer]]:
    found: list[Outer] = []
    app = typer.Typer()

    @with_options
    def command(outer: Outer, count: Annotated[int, Setting("How many.", min=1)] = 1) -> None:
        """Do it.

        A long sentence that
        goes on in a second line of code.

        Examples:
            command a
            command b --fast
        """
        found.append(outer)

    app.command(context_settings={"auto_envvar_prefix": "OURS"})(command)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"} | environment), found


def test_options_become_settings() -> None:
    options = ("--share", "0.25", "--numbers", "8, 1,8", "--tasks", "b,a", "--again", "y", "--again", "z")
    result, (found,) = parse("n", *options, "--device", "gpu", "-o", "here", "--fast")
    assert result.exit_code == 0
    assert found == Outer("n", Inner(0.25), (1, 8), ("b", "a"), ("y", "z"), "gpu", Path("here"), fast=True)
    assert [parse("n", "--cached", each)[1][0].cached for each in ("on", "off")] == [True, False]


def test_what_is_not_given_has_the_default_of_the_settings() -> None:
    assert parse("n")[1] == [Outer("n")]
    assert parse("n", OURS_SHARE="0.75", OURS_AGAIN="p q")[1] == [Outer("n", Inner(0.75), again=("p", "q"))]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "Missing argument"),
        (("n", "--share", "1.5"), "--share"),
        (("n", "--share", "nan"), "share"),
        (("n", "--numbers", "0"), "for '--numbers': 0: give at least 1"),
        (("n", "--numbers", "1,"), "give whole numbers with commas between them"),
        (("n", "--numbers", "1.5"), "'1.5'"),
        (("n", "--numbers", ""), "for '--numbers': it is empty: give at least one"),
        (("n", "--tasks", ""), "for '--tasks': it is empty: give at least one"),
        (("n", "--tasks", "a,c"), "choose a or b"),
        (("n", "--device", "tpu"), "for '--device': 'tpu': choose cpu or gpu"),
        (("n", "--cached", "yes"), "for '--cached': 'yes': choose on or off"),
        (("n", "--count", "0"), "for '--count': 0: give at least 1"),
        (("n", "--count", "many"), "for '--count': 'many': give a whole number"),
        (("n", "--share", "half"), "for '--share': 'half': give a number"),
        (("n", "--fast"), "fast needs a GPU"),
        (("n", "--hidden", "4"), "--hidden"),
    ],
)
def test_what_is_not_allowed_is_wrong_usage(options: tuple[str, ...], named: str) -> None:
    result, found = parse(*options)
    assert result.exit_code == 2 and not found
    assert named in " ".join(result.output.replace("│", " ").split())


def test_help_shows_what_the_settings_say() -> None:
    text = " ".join(parse("--help")[0].output.split())
    for part in ("--share X A share.", "[default: 1,2]", "cpu|gpu", "--output", "-o", "PATH", "(none)", "on|off"):
        assert part in text
    assert "hidden" not in text and "--no-fast" not in text and "OURS_SHARE" not in text


def test_help_is_the_docstring_with_its_indented_lines() -> None:
    lines = [line.strip(" │") for line in parse("--help", COLUMNS="60")[0].output.splitlines()]
    start = lines.index("Examples:")
    assert lines[start + 1 : start + 3] == ["command a", "command b --fast"]
    assert "A long sentence that goes on in a second line of code." in lines


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        (Inner, {"share": math.nan}),
        (Outer, {"name": "n", "numbers": (1, 9)}),
        (Outer, {"name": "n", "numbers": ()}),
        (Outer, {"name": "n", "device": "tpu"}),
        (TrainingConfig, {"epochs": -1}),
        (TrainingConfig, {"learning_rate": 11.0}),
        (Recipe, {"holdout": 0.6}),
        (GateLimits, {"significance": 0.0}),
        (GateConfig, {"model": "m", "data": "d", "split": "all"}),
        (TuningConfig, {"model": "m", "latency_budget_ms": 0.0}),
    ],
)
def test_python_meets_the_same_bounds(settings: type[BaseSettings], values: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=list(values)[-1]):
        settings(**values)


def test_the_detector_has_defaults_of_its_own() -> None:
    recipe = DetectorRecipe()
    assert recipe.config.epochs and recipe.config.batch_size and recipe.config.learning_rate
    assert recipe.architecture != Recipe().architecture


def test_a_type_without_a_setting_is_none() -> None:
    assert describe(int) is None and describe(Annotated[int, "of another library"]) is None
