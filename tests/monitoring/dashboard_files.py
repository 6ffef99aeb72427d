"""The dashboards of monitoring/grafana, read as Grafana reads them."""

import json
from dataclasses import dataclass
from typing import Any

from tests.monitoring.rule_files import MONITORING

FOLDER = MONITORING / "grafana" / "dashboards"


@dataclass(frozen=True)
class Shown:
    """A query of a panel."""

    panel: str
    expression: str
    legend: str
    unit: str


@dataclass(frozen=True)
class Dashboard:
    """A dashboard.

    Attributes:
        name: of its file, without the ending.
        content: all of it.
    """

    name: str
    content: dict[str, Any]

    @property
    def panels(self) -> list[dict[str, Any]]:
        """All panels but the rows."""
        return [panel for panel in self.content["panels"] if panel["type"] != "row"]

    @property
    def queries(self) -> list[Shown]:
        return [
            Shown(panel["title"], target["expr"], target["legendFormat"], _unit(panel, target["legendFormat"]))
            for panel in self.panels
            for target in panel["targets"]
        ]

    @property
    def variables(self) -> dict[str, str]:
        """The query of each variable but the data source, by its name."""
        listed = self.content["templating"]["list"]
        return {each["name"]: each["query"] for each in listed if each["type"] == "query"}

    @property
    def marks(self) -> list[str]:
        """The queries of the annotations."""
        return [each["expr"] for each in self.content["annotations"]["list"]]


def _unit(panel: dict[str, Any], column: str) -> str:
    """Returns the unit of a panel; of a table, that of the column."""
    if panel["type"] != "table":
        return str(panel["fieldConfig"]["defaults"].get("unit", ""))
    overrides = {each["matcher"]["options"]: each["properties"] for each in panel["fieldConfig"]["overrides"]}
    return next((str(each["value"]) for each in overrides.get(column, []) if each["id"] == "unit"), "")


DASHBOARDS = [Dashboard(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]
