"""What people are shown: as it is, whatever is in the name of a file, a model or a data set."""

import re

import rich.console
from rich.text import Text

# Codes that a terminal obeys; a name of a file may hold any of them but the zero.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Console(rich.console.Console):
    """A terminal, or a file in its place, that takes text literally: rich would read `[red]` and `:warning:` as marks.

    Style comes by `style=` or as a `rich.text.Text`.

    Args:
        stderr: prints on standard error.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: object) -> Text:
        """Returns a text as it is to be shown."""
        return super().render_str(visible(text), **options)  # type: ignore[arg-type]


def visible(text: str) -> str:
    """Returns a text in which control codes are written out, so that no terminal obeys them."""
    return CONTROLS.sub(lambda code: f"\\x{ord(code[0]):02x}", text)
