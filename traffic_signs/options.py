"""Options of a command line, made of settings: typer shows, completes and checks them as it does its own."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from traffic_signs.settings import BaseSettings, Described, SettingError, describe


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command an argument or option for each `Setting` in the annotations of its parameters.

    A parameter whose type is a class of settings stands for all of its fields, and receives an object of it.
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
    return run


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
        elif get_origin(kind) is tuple:
            kind, default = str, ",".join(map(str, default))
        hint = Annotated[kind, _information(name, described, default)]
    yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _information(name: str, described: Described, default: Any) -> Any:
    kind, setting = described
    words = "" if default is Parameter.empty else setting.show_default
    facts: dict[str, Any] = {"help": setting.help, "metavar": setting.metavar or None}
    facts["show_default"] = words or default not in (Parameter.empty, "", None)
    facts["envvar"] = list(setting.envvars) or None
    if setting.check is not None:
        facts["callback"] = _checker(described)  # so that typer names the option of a refused value
    if get_origin(kind) is not tuple:
        facts |= {"min": setting.min, "max": setting.max}
    elif not setting.repeatable:
        facts |= {"metavar": "N,..." if described.is_numeric else "NAME,...", "parser": described.parse_list}
    flags = setting.flags or ((f"--{name.replace('_', '-')}",) if kind is bool else ())
    return typer.Argument(**facts) if setting.argument else typer.Option(*flags, **facts)


def _checker(described: Described) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        try:
            described.require(value)
        except SettingError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    return check


def _value(hint: Any, name: str, given: dict[str, Any]) -> Any:
    """Returns the value of a parameter or a field out of what typer read; None stands for its default."""
    if not _is_settings(hint):
        described = describe(hint)
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


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseSettings)
