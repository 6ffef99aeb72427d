"""Tests of progress bars."""

import io

import pytest
from rich.console import Console

from traffic_signs.progress import progress_bars, silent


def test_silent_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent("reading", 1, 2)

    assert capsys.readouterr() == ("", "")


def test_terminal_shows_a_bar_for_each_thing() -> None:
    out = io.StringIO()
    with progress_bars(Console(file=out, force_terminal=True, width=100)) as show:
        show("reading", 0, 4)
        show("reading", 4, 4)
        show("training", 3, 10)

    shown = out.getvalue()
    assert "reading" in shown
    assert "4/4" in shown
    assert "training" in shown
    assert "3/10" in shown


def test_without_a_terminal_each_quarter_is_a_line_at_once() -> None:
    out = io.StringIO()
    with progress_bars(Console(file=out, force_terminal=False, width=100)) as show:
        for done in range(81):
            show("reading", done, 80)
        show("training", 10, 10)
        lines = out.getvalue().splitlines()

    assert lines == [*(f"  reading: {done} of 80" for done in (20, 40, 60, 80)), "  training: 10 of 10"]


def test_error_inside_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), progress_bars(Console(file=io.StringIO())) as show:
        show("reading", 1, 2)
        raise ZeroDivisionError
