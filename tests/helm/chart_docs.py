"""Makes the table of the parts of values.yaml in the chart's README, with a link to each.

python tests/helm/chart_docs.py      writes it (`make chart-docs`)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

CHART = Path(__file__).parents[2] / "helm" / "traffic-signs"
START = "<!-- made by `make chart-docs` from values.yaml -->"
END = "<!-- end -->"


@dataclass(frozen=True)
class Row:
    """One key of values.yaml.

    Attributes:
        key: with dots, as triton.image.tag.
        line: number of its line, from 1.
        is_leaf: False if it holds further keys, each with a row of its own.
        text: the comment above it, in one line; empty without one.
    """

    key: str
    line: int
    is_leaf: bool
    text: str


def read_rows(text: str) -> list[Row]:
    """Returns a row for every key of values.yaml, in its order; a value in braces is a leaf."""
    return list(_rows(yaml.compose(text, yaml.SafeLoader), text.splitlines(), ""))


def undocumented(rows: list[Row]) -> list[str]:
    """Returns the keys without a comment on themselves, on the key that holds them or on triton's key of that name."""
    explained = {row.key for row in rows if row.text}
    return [
        row.key
        for row in rows
        if not (row.text or row.key.rpartition(".")[0] in explained or _is_like_tritons(row, explained))
    ]


def table(rows: list[Row]) -> str:
    """Returns a table in Markdown of the keys that no other key holds."""
    parts = [row for row in rows if "." not in row.key]
    lines = [f"| [`{row.key}`](values.yaml#L{row.line}) | {row.text} |" for row in parts]
    return "\n".join(["| key | |", "| --- | --- |", *lines])


def with_table(readme: str, made: str) -> str:
    """Returns the README with this table in place of its own."""
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"README.md has lost the marks of its table: put {START} and {END} where it belongs")
    return f"{before}{START}\n{made}\n{END}{after}"


def _rows(node: yaml.Node, lines: list[str], parent: str) -> Iterator[Row]:
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        name = f"{parent}{key.value}"
        holds = isinstance(value, yaml.MappingNode) and not value.flow_style
        line = key.start_mark.line
        yield Row(name, line + 1, not holds, _comment_above(lines, line, key.start_mark.column))
        if holds:
            yield from _rows(value, lines, f"{name}.")


def _comment_above(lines: list[str], line: int, column: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].startswith(" " * column + "# "):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("# "))
    return " ".join(found).replace("|", "\\|").replace("<", "&lt;")


def _is_like_tritons(row: Row, explained: set[str]) -> bool:
    """Returns whether the comment on a key of triton with the same last parts explains this one too."""
    parts = row.key.split(".")
    others = {"triton." + ".".join(parts[start:]) for start in range(1, len(parts))}
    return row.is_leaf and parts[0] != "triton" and not others.isdisjoint(explained)


if __name__ == "__main__":
    path = CHART / "README.md"
    path.write_text(with_table(path.read_text(), table(read_rows((CHART / "values.yaml").read_text()))))
