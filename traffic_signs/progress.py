"""Progress of long tasks: stages report to a callback, and a terminal shows bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# Called with (name of the task, items done, items in total).
ProgressCallback = Callable[[str, int, int], None]
Advance = Callable[[int], None]  # called with the bytes of each piece of a transfer


def silent(what: str, done: int, total: int) -> None:
    """Ignores all progress."""


def counting(progress: ProgressCallback, what: str, total: int) -> Advance:
    """Returns what adds up pieces of `total` bytes and shows them, in units of 1000 bytes."""
    done = 0

    def advance(piece: int) -> None:
        nonlocal done
        done += piece
        progress(f"{what} (kB)", done // 1000, max(total // 1000, 1))

    return advance


@contextmanager
def progress_bars(console: Console) -> Iterator[ProgressCallback]:
    """Yields a callback that shows a bar for each task; without a terminal it prints a line at each quarter."""
    if not console.is_terminal:
        yield _quarters(console)
        return
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True, compact=True),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show


def _quarters(console: Console) -> ProgressCallback:
    shown: dict[str, int] = {}

    def show(what: str, done: int, total: int) -> None:
        quarter = 4 * done // max(total, 1)
        if quarter > shown.get(what, 0):
            shown[what] = quarter
            console.print(f"  {what}: {done} of {total}", highlight=False, soft_wrap=True)

    return show
