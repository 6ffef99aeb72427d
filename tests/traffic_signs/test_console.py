"""Names are shown as they are: no mark of rich's, no picture for a colon, no code that a terminal obeys."""

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

from traffic_signs.console import Console, visible
from traffic_signs.progress import progress_bars

ROOT = Path(__file__).parents[2]
NAME = "[red]o[/red] [/x] [prod]/eval :warning: [bold"


@pytest.mark.parametrize("stderr", [False, True])
def test_text_and_tables_are_literal(stderr: bool, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(stderr)
    console.print(f"look: {NAME}", soft_wrap=True)
    table = Table(title=NAME, box=None, width=80)
    table.add_column(NAME, no_wrap=True)
    table.add_row(NAME)
    console.print(table)
    shown = capsys.readouterr()
    assert (shown.err if stderr else shown.out).count(NAME) == 4


def test_bars_are_literal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console()
    console._force_terminal, console.file, console.width = True, io.StringIO(), 120
    with progress_bars(console) as progress:
        progress(NAME, 1, 2)
    assert NAME in console.file.getvalue()


def test_codes_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print("a\x1b[2Jb\x07\x9bc", soft_wrap=True)
    assert capsys.readouterr().out == "a\\x1b[2Jb\\x07\\x9bc\n"
    assert visible("ü\n\t") == "ü\n\t"


def test_everything_is_printed_through_it() -> None:
    packages = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    texts = [path.read_text(encoding="utf-8") for package in packages for path in package.rglob("*.py")]
    makers = [text for text in texts if re.search(r"(?<!class )\bConsole\(", text)]
    assert len(makers) > 10
    for text in makers:
        assert re.search(r"from \S+\.console import Console", text), text[:200]
    assert not [text for text in texts if "rich.markup" in text]
