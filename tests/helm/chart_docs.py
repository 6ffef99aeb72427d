"""Makes the table of values in the chart's README from the comments of values.yaml.

python tests/helm/chart_docs.py      writes it (`make chart-docs`)
"""

import json
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
        default: as JSON; None for a key that only holds others.
        text: the comment above it, in one line; empty without one.
    """

    key: str
    default: str | None
    text: str


def read_rows(text: str) -> list[Row]:
    """Returns a row for every key of values.yaml, in its order; what stands in braces is one default."""
    return list(_rows(yaml.compose(text, yaml.SafeLoader), text.splitlines(), ""))


def undocumented(rows: list[Row]) -> list[str]:
    """Returns the keys that neither have a comment nor stand below one, nor are explained by triton's of that name."""
    explained = {row.key for row in rows if row.text}
    return [
        row.key for row in rows if not (row.text or row.key.rpartition(".")[0] in explained or _like(row, explained))
    ]


def table(rows: list[Row]) -> str:
    """Returns the rows as a table in Markdown."""
    explained = {row.key for row in rows if row.text}
    lines = ["| key | default | |", "| --- | --- | --- |"]
    for row in rows:
        like = _like(row, explained)
        text = row.text or (f"as `{like}`" if like else "")
        default = "" if row.default is None else f"`{row.default}`"
        if text or default:
            lines.append(f"| `{row.key}` | {default} | {text} |".replace("  |", " |"))
    return "\n".join(lines)


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
        default = None if holds else json.dumps(yaml.safe_load(yaml.serialize(value)))
        yield Row(name, default, _comment_above(lines, key.start_mark.line, key.start_mark.column))
        if holds:
            yield from _rows(value, lines, f"{name}.")


def _comment_above(lines: list[str], line: int, column: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].startswith(" " * column + "# "):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("# "))
    return " ".join(found).replace("|", "\\|").replace("<", "&lt;")


def _like(row: Row, explained: set[str]) -> str | None:
    """Returns the key of triton whose explanation holds here too: that with the same last parts."""
    parts = row.key.split(".")
    others = ("triton." + ".".join(parts[start:]) for start in range(1, len(parts)))
    return (
        None
        if row.text or row.default is None or parts[0] == "triton"
        else next((key for key in others if key in explained), None)
    )


if __name__ == "__main__":
    path = CHART / "README.md"
    path.write_text(with_table(path.read_text(), table(read_rows((CHART / "values.yaml").read_text()))))
