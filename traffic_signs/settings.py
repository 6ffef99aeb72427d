"""Settings whose fields say once what they mean and which values they take.

    @dataclass(frozen=True)
    class LoopConfig(BaseSettings):
        epochs: Annotated[int, Setting("Passes over the training crops.", min=1)] = 10

A value out of its bounds is refused wherever it comes from: Python, the file of an interrupted run, or the command
line, which makes its options of the fields (`traffic_signs.options`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from traffic_signs.errors import SignsError


@dataclass(frozen=True)
class Setting:
    """What the `Annotated` type of a field says of its values. A field without one is not for the command line.

    Attributes:
        help: a sentence for a person who sets it.
        min: smallest value; of a tuple, that of each item.
        max: largest value.
        show_default: words for a default that is chosen later; False shows none.
        flags: on the command line, where that is not the field's name alone.
        metavar: what stands for the value in the help; empty for the type.
        argument: on the command line it has a place, and no flag.
        repeatable: the items of a tuple are given one by one, not with commas.
        choices: all values, where the type does not list them.
        envvars: environment variables that set it.
    """

    help: str
    min: float | None = None
    max: float | None = None
    show_default: bool | str = True
    flags: tuple[str, ...] = ()
    metavar: str = ""
    argument: bool = False
    repeatable: bool = False
    choices: tuple[str, ...] = ()
    envvars: tuple[str, ...] = ()


class SettingError(SignsError, ValueError):
    """A setting has a value that it does not take."""


class Described(NamedTuple):
    """A type without its metadata, and what its `Setting` says."""

    kind: Any
    setting: Setting

    @property
    def choices(self) -> tuple[str, ...]:
        """All values, where they can be listed."""
        return self.setting.choices or _literals(self.kind)

    @property
    def is_numeric(self) -> bool:
        """Whether it is a tuple of numbers."""
        return get_args(self.kind)[:1] in ((int,), (float,))

    def require(self, value: Any) -> None:
        """Raises SettingError for a value, or one item of a tuple, that is none of the choices or out of bounds."""
        if value is None:
            return
        low, high = self.setting.min, self.setting.max
        if self.choices and value not in self.choices:
            raise SettingError(f"{value!r}: choose {' or '.join(self.choices)}")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = [f"at least {low:g}"] if low is not None else []
            bounds += [f"at most {high:g}"] if high is not None else []
            raise SettingError(f"{value!r}: give {' and '.join(bounds)}")

    def parse_list(self, text: str) -> tuple[Any, ...]:
        """Reads `1,2,4` or names: each once, numbers with the smallest first.

        Raises:
            SettingError: one is not allowed or empty.
        """
        kind, items = get_args(self.kind)[0], []
        for word in map(str.strip, text.split(",") if text.strip() else ()):
            try:
                items.append(kind(word) if self.is_numeric else word)
            except ValueError as error:
                kinds = "whole numbers" if kind is int else "numbers"
                raise SettingError(f"{word!r}: give {kinds} with commas between them") from error
            self.require(items[-1])
            if not word:
                raise SettingError("a name is empty: give names with commas between them")
        return tuple(sorted(set(items)) if self.is_numeric else dict.fromkeys(items))


class BaseSettings:
    """Base of the dataclasses of settings: each refuses what its fields do not take."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            if described := describe(hint):
                value = getattr(self, name)
                if value == () and getattr(type(self), name, ()):
                    raise SettingError(f"{name} is empty: give at least one")
                try:
                    for each in value if isinstance(value, tuple) else (value,):
                        described.require(each)
                except SettingError as error:
                    raise SettingError(f"{name} is {error}") from error


def describe(hint: Any) -> Described | None:
    """Returns what an `Annotated` type says, or None where it has no `Setting`."""
    if get_origin(hint) is Annotated:
        kind, *metadata = get_args(hint)
        return next((Described(kind, each) for each in metadata if isinstance(each, Setting)), None)
    return None


def _literals(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _literals(part))


# What several commands and stages are set with.
Repository = Annotated[str, Setting("Folder, or s3://, gs:// or az:// address.", flags=("--repository", "-r"))]
Runs = Annotated[Path, Setting("Folder of all runs and of MLflow's database.")]
Home = Annotated[Path, Setting("Where tritonserver is, or is to be installed.")]
