"""How `signs predict` prints its answers: a table, JSON, CSV, or a line for each sign that a camera sees."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TextIO

from clients.command.output import print_lines

if TYPE_CHECKING:
    from rich.text import Text

Form = Literal["table", "lines", "json", "csv"]
Result = dict[str, Any]
Add = Callable[[Result], None]

OF_A_SIGN = ("score", "category", "class_id", "class_score", "name")
SIGN_COLUMNS = ("file", "frame", "left", "top", "right", "bottom", *OF_A_SIGN)
CLASS_COLUMNS = ("file", "rank", "class_id", "name", "score")


@contextmanager
def printing(form: Form) -> Iterator[Add]:
    """Prints answers as they are added; a table when the block ends, however it ends, so that no answer is lost.

    An answer holds `image`, `frame` for one of a video, and `signs`, `predictions` or `error`; see
    `clients.prediction.answers`. Without answers nothing is printed.
    """
    out = sys.stdout  # now: a progress bar would take what is printed later for its own terminal
    if form == "table":
        results: list[Result] = []
        try:
            yield results.append
        finally:
            if results:
                _print_table(results)
    elif form == "lines":
        yield lambda result: _print_line(result, out)
    elif form == "csv":
        yield _csv_rows(out)
    else:
        added = 0

        def add(result: Result) -> None:
            nonlocal added
            print(",\n" if added else "[\n", json.dumps(result), sep="", end="", file=out, flush=True)
            added += 1

        try:
            yield add
        finally:
            if added:
                print("\n]", file=out)


def _csv_rows(out: TextIO) -> Add:
    writer = csv.writer(out, lineterminator="\n")
    headed = False

    def add(result: Result) -> None:
        nonlocal headed
        if not headed and "error" not in result:
            writer.writerow(CLASS_COLUMNS if "predictions" in result else SIGN_COLUMNS)
            headed = True
        for sign in result.get("signs", ()):
            rest = (sign[column] for column in OF_A_SIGN)
            writer.writerow([result["image"], result.get("frame", ""), *sign["box"], *rest])
        for rank, each in enumerate(result.get("predictions", ()), start=1):
            writer.writerow([result["image"], rank, each["class_id"], each["name"], each["score"]])
        out.flush()

    return add


def _print_line(result: Result, out: TextIO) -> None:
    for sign in result.get("signs", ()):
        box = ", ".join(f"{side:.0f}" for side in sign["box"])
        what = f"{sign['name']} ({sign['class_id']}) {sign['class_score']:.1%} at {box}"
        print(f"{result['image']} frame {result['frame']}: {what}", file=out, flush=True)


def _print_table(results: list[Result]) -> None:
    from traffic_signs.console import Console, plain_table

    numbers = ("score", "detection", "left", "top", "right", "bottom")
    if any("predictions" in result for result in results):
        table = plain_table("image", "sign", "score", "other classes", right=("score",))
        table.columns[3].style = "dim"
    else:
        table = plain_table("image", "sign", *numbers, right=numbers)
    table.columns[1].style = "bold"
    for result in results:
        for row in _rows(result):
            table.add_row(*row)
    Console().print(table)
    copies = dict.fromkeys(result["annotated"] for result in results if "annotated" in result)
    print_lines(*(f"look: {copy}" for copy in copies))


def _rows(result: Result) -> "Iterator[list[str | Text]]":
    from rich.text import Text

    image = result["image"] + (f" frame {result['frame']}" if "frame" in result else "")
    for sign in result.get("signs", ()):
        box = [f"{side:.0f}" for side in sign["box"]]
        yield [
            image,
            f"{sign['name']} ({sign['class_id']})",
            f"{sign['class_score']:.1%}",
            f"{sign['score']:.1%}",
            *box,
        ]
    if "predictions" in result:
        best, *others = result["predictions"]
        rest = ", ".join(f"{other['name']} {other['score']:.1%}" for other in others)
        yield [image, f"{best['name']} ({best['class_id']})", f"{best['score']:.1%}", rest]
    if "error" in result:
        yield [image, Text("not read", "red")]
    elif not result.get("signs", True) and "frame" not in result:  # of a video, that would be most of its frames
        yield [image, Text("no sign", "dim")]
