"""Values, schema, README and templates speak of the same keys."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart_docs import CHART, read_rows, table, undocumented, with_table

VALUES = (CHART / "values.yaml").read_text()
PAGES = [CHART / "README.md", *sorted((CHART / "docs").glob("*.md"))]
NULLABLE = ("runAsUser", "runAsGroup")  # taken away by null on purpose
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def objects_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema or "patternProperties" in schema:
            yield schema
        for below in schema.values():
            yield from objects_in(below)


def unlike(values: Any, schema: dict[str, Any], path: str) -> list[str]:
    """Returns the keys that only one of the two knows, where the schema lists keys."""
    schema = resolved(schema)
    if "properties" not in schema or not isinstance(values, dict) or not values:  # what is empty, Kubernetes fills
        return []
    optional = {"global", "enabled", "initialDelaySeconds"}
    apart = (set(values) ^ set(schema["properties"])) - optional
    missing = set(values) - set(schema.get("required", NULLABLE))
    below = [unlike(values[key], schema["properties"][key], f"{path}.{key}") for key in set(values) - apart]
    return [f"{path}.{key}" for key in apart | missing] + [key for keys in below for key in keys]


def test_schema_and_values_know_the_same_keys() -> None:
    """Each key of values.yaml is required too: taken away by null, it would be nothing to the templates, or 0."""
    assert unlike(yaml.safe_load(VALUES), SCHEMA, "") == []


def test_no_object_of_the_schema_lets_a_misspelt_key_through() -> None:
    for each in objects_in(SCHEMA):
        assert each.get("additionalProperties") is False, each


def test_every_value_is_explained() -> None:
    assert undocumented(read_rows(VALUES)) == []


def test_every_value_is_used() -> None:
    """Its name stands in a template."""
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    for row in read_rows(VALUES):
        if row.is_leaf and not re.search(rf"\.{row.key.rpartition('.')[2]}\b", templates):
            above = row.key.rpartition(".")[0]
            assert f"toYaml $triton.probes.{row.key.rpartition('.')[2]}" in templates or above.endswith(
                ("resources", "image")
            ), f"{row.key} does nothing"


def test_the_readme_is_fresh() -> None:
    readme = (CHART / "README.md").read_text()
    assert readme == with_table(readme, table(read_rows(VALUES))), "run `make chart-docs`"


def test_a_table_without_its_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match="marks of its table"):
        with_table("no table here", "")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """To a file, and to the heading or the line in it."""
    links = re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", page.read_text())
    assert links
    for link, anchor in links:
        target = (page.parent / link).resolve() if link else page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


def test_the_readme_links_to_every_page() -> None:
    links = re.findall(r"\]\((docs/[\w-]+\.md)\)", PAGES[0].read_text())
    assert set(links) == {f"docs/{page.name}" for page in PAGES[1:]}


def test_comments_become_rows() -> None:
    text = "# Of a.\na:\n  # One | two,\n  # in two lines.\n  b: {c: 1}\n  d: []\n"
    rows = read_rows(text)
    assert [(row.key, row.line, row.is_leaf, row.text) for row in rows] == [
        ("a", 2, False, "Of a."),
        ("a.b", 5, True, "One \\| two, in two lines."),
        ("a.d", 6, True, ""),
    ]
    assert table(rows).splitlines()[2:] == ["| [`a`](values.yaml#L2) | Of a. |"]
    assert undocumented(rows) == []
    assert undocumented(read_rows("a: 1\n")) == ["a"]


def test_nothing_but_links_stands_where_monitoring_belongs() -> None:
    for name, target in (("prometheus", "prometheus"), ("dashboards", "grafana/dashboards")):
        link = CHART / "files" / name
        assert link.is_symlink()
        assert link.readlink() == Path("../../../monitoring") / target
        assert link.resolve().is_dir(), "Helm takes no link that leads nowhere"
