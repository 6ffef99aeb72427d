"""Terminal output that prints names of files, models and data sets literally."""

import re
from collections.abc import Sequence

import rich.console
from rich.table import Table
from rich.text import Text

# Control codes that a terminal executes; a file name may contain any of them except NUL.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Console(rich.console.Console):
    """A rich console that prints text literally: `[red]` and `:warning:` are not markup.

    Pass styles by `style=` or as a `rich.text.Text`.
    """

    def __init__(self, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: object) -> Text:
        """Returns the text with control codes escaped."""
        return super().render_str(visible(text), **options)  # type: ignore[arg-type]


def visible(text: str) -> str:
    """Returns the text with control codes escaped as `\\xNN`, so that a terminal does not execute them."""
    return CONTROLS.sub(lambda code: f"\\x{ord(code[0]):02x}", text)


def plain_table(*columns: str, right: Sequence[str] = (), gap: int = 2) -> Table:
    """Returns a table without lines and with `gap` spaces between columns; those named in `right` are right-aligned.

    Without columns it has no header.
    """
    table = Table(box=None, header_style="bold", padding=(0, gap, 0, 0), pad_edge=False, show_header=bool(columns))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table
