"""How commands print: results as JSON or as tables, notes and progress on standard error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from traffic_signs.progress import ProgressCallback


def print_json(content: Any, indent: int | None = None) -> None:
    """Prints a result, dataclasses as objects; on one line without `indent`."""
    typer.echo(json.dumps(content, default=asdict, indent=indent))


def print_result(content: Any, as_json: bool, text: str) -> None:
    """Prints a result as JSON, or as a text for people."""
    print_json(content) if as_json else typer.echo(text)


def print_note(sentence: str) -> None:
    """Prints a note to standard error."""
    typer.echo(f"note: {sentence}", err=True)


def print_lines(*lines: str, style: str = "") -> None:
    """Prints lines literally, with control codes escaped, and breaks none of them."""
    from traffic_signs.console import Console

    if lines:
        Console().print("\n".join(lines), style=style, soft_wrap=True)


@contextmanager
def progress_bars() -> "Iterator[ProgressCallback]":
    """Shows progress on standard error."""
    from traffic_signs import progress
    from traffic_signs.console import Console

    with progress.progress_bars(Console(stderr=True)) as report:
        yield report
