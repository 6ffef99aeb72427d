"""Builds dashboards from the YAML files beside this one, in which the options of a panel are those of its function.

    rows:
      TITLE:
      - graph: TITLE
        about: SENTENCES
        unit: UNIT
        queries:
          LEGEND: PROMQL

Units are Grafana's, such as `s` or `percentunit` (0 to 1). In a legend `{{label}}` stands for the value of a label.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any, TypeVar

import yaml
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery as AnyQuery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = dashboard.DataSourceRef("prometheus", "$datasource")
TAG = "traffic-signs"
GREEN, RED = "green", "red"
Words = Mapping[str, tuple[str, str]]  # text and colour by value

Panel = TypeVar("Panel", Timeseries, Stat, Table)


def build(path: Path) -> dashboards.Dashboard:
    """Returns the dashboard of a YAML file.

    Raises:
        TypeError: a panel or the page lacks an option or has an unknown one.
        ValueError: a panel has more queries than letters to name them.
    """
    content = yaml.safe_load(path.read_text())
    rows = content.pop("rows")
    new = _page(**content)
    for title, panels in rows.items():
        new = new.with_row(dashboards.Row(title))
        for panel in panels:
            (kind, name), *options = panel.items()
            new = new.with_panel(PANELS[kind](name, **dict(options)))
    return new


def graph(
    title: str,
    about: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    span: int = 8,
    limit: float | None = None,
    maximum: float | None = None,
    stacked: bool = False,
    can_be_negative: bool = False,
    is_logarithmic: bool = False,
) -> Timeseries:
    """Returns a panel of lines over time.

    Args:
        queries: PromQL by legend.
        limit: threshold of an alert, drawn as a dashed line.
        maximum: end of the axis.
        stacked: stack the series.
        can_be_negative: do not begin the axis at 0.
        is_logarithmic: use a logarithmic axis.
    """
    panel = (
        _started(Timeseries(), title, about, span, height=8)
        .unit(unit)
        .targets(_targets(queries))
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if not can_be_negative and not is_logarithmic:
        panel = panel.axis_soft_min(0)
    if maximum is not None:
        panel = panel.max(maximum)
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if is_logarithmic:
        log = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        panel = panel.scale_distribution(log)
    if limit is not None:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds({limit: RED})).thresholds_style(dashed)
    return panel


def number(
    title: str,
    about: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    span: int = 4,
    colours: Mapping[float, str] | None = None,
    words: Words | None = None,
    decimals: int | None = None,
) -> Stat:
    """Returns a panel with the last value of each series in large print.

    Args:
        queries: PromQL by legend.
        colours: colour from each value on; green below the first.
        words: text and colour instead of some values.
        decimals: number of decimals; None leaves it to Grafana.
    """
    panel = (
        _started(Stat(), title, about, span, height=4)
        .unit(unit)
        .targets(_targets(queries))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .thresholds(_thresholds(colours or {}))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if words:
        panel = panel.mappings([_mapped(words)])
    return panel if decimals is None else panel.decimals(decimals)


def table(title: str, about: str, labels: Mapping[str, str], columns: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns a panel of full width with a row for each set of labels.

    `labels` are the labels of a row, with the titles of their columns; the queries must have exactly these labels.
    `columns` has by title, of each other column, `unit`, PromQL `expr` and, optionally, `words` instead of some values.
    """
    lettered = _lettered(columns)
    renamed = {**labels, **{f"Value #{letter}": name for letter, name in lettered}}
    panel = (
        _started(Table(), title, about, span=24, height=8)
        .targets(
            [
                _target(columns[name]["expr"], name, letter).instant().format(PromQueryFormat.TABLE)
                for letter, name in lettered
            ]
        )
        .with_transformation(dashboard.DataTransformerConfig("merge", options={}))
        .with_transformation(
            dashboard.DataTransformerConfig(
                "organize", options={"excludeByName": {"Time": True}, "renameByName": renamed}
            )
        )
    )
    for name, column in columns.items():
        properties = [dashboard.DynamicConfigValue("unit", column["unit"])]
        if "words" in column:
            properties.append(dashboard.DynamicConfigValue("mappings", [_mapped(column["words"])]))
        panel = panel.override_by_name(name, properties)
    return panel


PANELS: Mapping[str, Callable[..., Timeseries | Stat | Table]] = {"graph": graph, "number": number, "table": table}


def _page(
    uid: str, title: str, about: str, variables: Sequence[Mapping[str, str]], start: str = "now-6h"
) -> dashboards.Dashboard:
    """Returns an empty dashboard that links to the others and marks alerts and promotions.

    `variables` are the `name`, `label` and `query` of each; `start` is where the time range begins.
    """
    new = (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .time(start, "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboards.DashboardLink("Traffic signs")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
        )
        .with_variable(dashboards.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .annotation(_marks("Paging alerts", 'ALERTS{alertstate="firing",severity="page"}', RED))
        .annotation(
            _marks(
                "Promotions and rollbacks",
                "signs_repository_version_champion == 1 unless signs_repository_version_champion offset 2m == 1",
                "blue",
            )
        )
    )
    for each in variables:
        new = new.with_variable(_variable(**each))
    return new


def _variable(name: str, label: str, query: str) -> dashboards.QueryVariable:
    """Returns a choice of one, several or all values of a label: `label_values(metric, label)`."""
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATASOURCE)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(dashboard.VariableOption(text=["All"], value=["$__all"]))
    )


def _started(panel: Panel, title: str, about: str, span: int, height: int) -> Panel:
    return panel.title(title).description(about).datasource(DATASOURCE).span(span).height(height)


def _targets(queries: Mapping[str, str]) -> list[Builder[AnyQuery]]:
    return [_target(queries[legend], legend, letter) for letter, legend in _lettered(queries)]


def _lettered(queries: Collection[str]) -> list[tuple[str, str]]:
    """Gives each query the letter by which Grafana names it; raises ValueError for more queries than letters."""
    return list(zip(ascii_uppercase[: len(queries)], queries, strict=True))


def _target(expr: str, legend: str, letter: str) -> Dataquery:
    return Dataquery().expr(" ".join(expr.split())).legend_format(legend).ref_id(letter).datasource(DATASOURCE)


def _mapped(words: Words) -> dashboard.ValueMap:
    results = {value: dashboard.ValueMappingResult(text, colour) for value, (text, colour) in words.items()}
    return dashboard.ValueMap(results)


def _thresholds(colours: Mapping[float, str]) -> dashboards.ThresholdsConfig:
    steps = [
        dashboard.Threshold(None, GREEN),
        *(dashboard.Threshold(value, colour) for value, colour in colours.items()),
    ]
    return dashboards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _marks(name: str, expr: str, colour: str) -> dashboards.AnnotationQuery:
    return dashboards.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(colour).expr(expr)
