"""Options of a command line, made of settings: typer shows, completes and checks them as it does its own."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
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
        command(**{name: _build(hints[name], given) if _is_settings(hints[name]) else given[name] for name in own})

    run.__signature__ = Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in shown}
    return run


def _parameters(name: str, hint: Any, default: Any) -> Iterator[Parameter]:
    """Yields what typer reads for one parameter of a command, or one field of settings."""
    described = describe(hint)
    if described is not None:
        default = Parameter.empty if default is MISSING else default
        hint = Annotated[described.kind, _information(described, has_default=default is not Parameter.empty)]
        if get_origin(described.kind) is tuple:
            hint = Annotated[list[str] | None if described.setting.repeatable else str, *get_args(hint)[1:]]
            default = None if described.setting.repeatable else ",".join(map(str, default))
    elif _is_settings(hint):
        hints = get_type_hints(hint, include_extras=True)
        for field in fields(hint):
            if describe(hints[field.name]) or _is_settings(hints[field.name]):
                yield from _parameters(field.name, hints[field.name], field.default)
        return
    yield Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _information(described: Described, has_default: bool) -> Any:
    kind, setting = described
    facts: dict[str, Any] = {"help": setting.help, "show_default": setting.show_default if has_default else False}
    facts |= {"metavar": setting.metavar or None, "envvar": list(setting.envvars) or None}
    if get_origin(kind) is not tuple:
        facts |= {"min": setting.min, "max": setting.max}
    elif not setting.repeatable:
        facts |= {"metavar": "N,..." if described.is_numeric else "NAME,...", "parser": described.parse_list}
    return typer.Argument(**facts) if setting.argument else typer.Option(*setting.flags, **facts)


def _build(owner: Any, given: dict[str, Any]) -> Any:
    """Returns settings out of what typer read; None stands for the default of a field."""
    hints = get_type_hints(owner, include_extras=True)
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(owner)):
        if _is_settings(hints[name]):
            values[name] = _build(hints[name], given)
        elif described := describe(hints[name]):
            values[name] = (tuple(given[name] or ()) or None) if described.setting.repeatable else given[name]
    try:
        return owner(**{name: value for name, value in values.items() if value is not None})
    except SettingError as error:
        raise typer.BadParameter(str(error)) from error


def _is_settings(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseSettings)
