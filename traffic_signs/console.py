"""Terminal output that prints names of files, models and data sets literally."""

import re

import rich.console
from rich.table import Table
from rich.text import Text

# Control codes that a terminal executes; a file name may contain any of them except NUL.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Console(rich.console.Console):
    """A rich console that prints text literally: `[red]` and `:warning:` are not markup.

    Pass styles by `style=` or as a `rich.text.Text`.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: object) -> Text:
        """Returns the text with control codes escaped."""
        return super().render_str(visible(text), **options)  # type: ignore[arg-type]


def visible(text: str) -> str:
    """Returns the text with control codes escaped as `\\xNN`, so that a terminal does not execute them."""
    return CONTROLS.sub(lambda code: f"\\x{ord(code[0]):02x}", text)


def figure_table(first: str, *names: str, gap: int = 1) -> Table:
    """Returns a table without lines: a column of texts, and right-aligned columns of figures, `gap` spaces apart."""
    table = Table(box=None, header_style="bold", padding=(0, gap, 0, 0))
    table.add_column(first)
    for name in names:
        table.add_column(name, justify="right")
    return table
