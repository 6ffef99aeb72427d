"""Options of a command line, made of settings: typer shows, completes and checks them as it does its own."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from functools import wraps
from inspect import Parameter, Signature, cleandoc, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from traffic_signs.settings import BaseSettings, Described, SettingError, describe


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command an argument or option for each `Setting` in the annotations of its parameters.

    A parameter whose type is a class of settings stands for all of its fields, and receives an object of it. In the
    docstring, which is the help, indented lines such as examples are not joined.
    """
    hints = get_type_hints(command, include_extras=True)
    own = signature(command).parameters
    shown = [each for name in own for each in _parameters(name, hints[name], own[name].default)]

    @wraps(command)
    def run(**given: Any) -> None:
        values = {name: _value(hints[name], name, given) for name in own}
        command(**{name: own[name].default if value is None else value for name, value in values.items()})

    run.__signature__ = Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in shown}
    paragraphs = map(_unwrapped, cleandoc(command.__doc__ or "").split("\n\n"))
    run.__doc__ = "\n\n".join(paragraphs).replace("\n\n", "\n\n\n", 1)  # or typer takes an indentation away
    return run


def _unwrapped(paragraph: str) -> str:
    """Joins the lines of a paragraph, which typer breaks again for the terminal, unless some are indented."""
    return paragraph.replace("\n    ", "\n  ") if "\n " in paragraph else paragraph.replace("\n", " ")


def _parameters(name: str, hint: Any, default: Any) -> Iterator[Parameter]:
    """Yields what typer reads for one parameter of a command, or one field of settings."""
    if _is_settings(hint):
        for field, kind in _shown_fields(hint):
            yield from _parameters(field.name, kind, field.default)
        return
    described = describe(hint)
    if described is not None:
        default = Parameter.empty if default is MISSING else default
        kind = described.kind
        if described.setting.repeatable:
            kind = list[get_args(kind)[0]]  # type: ignore[misc]
            kind, default = (kind, default) if default is Parameter.empty else (kind | None, None)
        elif _is_list(described):
            kind, default = str | None, ",".join(map(str, default)) or None
        elif _is_switch(described):
            kind = Literal["on", "off"] | None
        hint = Annotated[kind, _information(name, described, default)]
    yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _information(name: str, described: Described, default: Any) -> Any:
    kind, setting = described
    words = "" if default is Parameter.empty else setting.show_default
    facts: dict[str, Any] = {"help": setting.help, "metavar": _metavar(name, described)}
    facts["show_default"] = words or default not in (Parameter.empty, "", None)
    facts["envvar"] = list(setting.envvars) or None
    facts["show_envvar"] = bool(setting.envvars)  # those that a prefix makes follow a rule
    facts["parser"] = _reader(described)
    if not _is_list(described):  # bounds are checked here, because typer would show them in the column of the types
        facts["callback"] = _checker(described)
    flags = setting.flags or ((f"--{name.replace('_', '-')}",) if kind is bool else ())
    return typer.Argument(**facts) if setting.argument else typer.Option(*flags, **facts)


def _metavar(name: str, described: Described) -> str:
    """Returns what stands for the value in the help; nothing for a flag."""
    kind, setting = described
    if _is_switch(described):
        return "on|off"
    if setting.metavar or setting.argument:
        return setting.metavar or name.upper()
    if _is_list(described):
        return "N,..." if described.is_numeric else "NAME,..."
    kinds = {kind, *get_args(kind)}
    words = {bool: "", int: "N", float: "X", Path: "PATH"}
    return next((words[each] for each in words if each in kinds), "|".join(described.choices) or "TEXT")


def _reader(described: Described) -> Callable[[Any], Any] | None:
    """Returns what reads numbers, choices and lists, because messages of typer do not name the value; None for others.

    It raises typer.BadParameter: typer would put "Value error," before the message of a ValueError.
    """
    kinds = (described.kind, *get_args(described.kind))
    number = next((each for each in (int, float) if each in kinds), None)
    choices = Described(Literal["on", "off"], described.setting) if _is_switch(described) else described
    if not (_is_list(described) or number or choices.choices):
        return None

    def read(value: Any) -> Any:
        try:
            if _is_list(described):
                return described.parse_list(value)
            if number is None:
                choices.require(value)
            return value if number is None else number(value)
        except SettingError as error:
            raise typer.BadParameter(str(error)) from error
        except ValueError as error:
            wanted = "a whole number" if number is int else "a number"
            raise typer.BadParameter(f"{value!r}: give {wanted}") from error

    return read


def _checker(described: Described) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            for each in value if isinstance(value, list) else (value,):
                described.require(each)
        except SettingError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    return check


def _value(hint: Any, name: str, given: dict[str, Any]) -> Any:
    """Returns the value of a parameter or a field out of what typer read; None stands for its default."""
    if not _is_settings(hint):
        described = describe(hint)
        if described is not None and _is_switch(described) and given[name]:
            return given[name] == "on"
        is_repeatable = described is not None and described.setting.repeatable
        return (tuple(given[name] or ()) or None) if is_repeatable else given[name]
    values = {field.name: _value(kind, field.name, given) for field, kind in _shown_fields(hint)}
    try:
        return hint(**{name: value for name, value in values.items() if value is not None})
    except SettingError as error:
        raise typer.BadParameter(str(error)) from error


def _shown_fields(settings: Any) -> list[tuple[Field[Any], Any]]:
    """Returns the fields of a class of settings that are on the command line, each with its type."""
    hints = get_type_hints(settings, include_extras=True)
    typed = [(field, hints[field.name]) for field in fields(settings)]
    return [(field, hint) for field, hint in typed if describe(hint) or _is_settings(hint)]


def _is_switch(described: Described) -> bool:
    """Returns whether it is on, off or open; a flag has names of its own for on and off."""
    return described.kind == bool | None and not described.setting.flags


def _is_list(described: Described) -> bool:
    """Returns whether one argument has all items, with commas between them."""
    return get_origin(described.kind) is tuple and not described.setting.repeatable


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseSettings)
