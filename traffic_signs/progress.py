"""Progress of long work: stages tell it how far they are, a terminal shows a bar."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# (what is being done, how many are done, how many there are)
ProgressCallback = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


@contextmanager
def progress_bars(console: Console) -> Iterator[ProgressCallback]:
    """Shows a bar for each thing that is being done; where there is no terminal, a line for each quarter."""
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
