"""Builders for the panels of all dashboards; queries, units, legends and descriptions are required."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

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
GREEN, YELLOW, RED = "green", "yellow", "red"
COLUMNS = 24  # of Grafana's grid

Panel = TypeVar("Panel", Timeseries, Stat, Table)
T = TypeVar("T")


@dataclass(frozen=True)
class Query:
    """A PromQL query and the legend of its series, in which `{{label}}` stands for a label's value."""

    expr: str
    legend: str


def graph(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    span: int = 8,
    limit: float | None = None,
    maximum: float | None = None,
    stacked: bool = False,
    can_be_negative: bool = False,
    is_logarithmic: bool = False,
) -> Timeseries:
    """Returns a panel of lines over time.

    Args:
        unit: Grafana's name of the unit, such as `s` or `percentunit` (0 to 1).
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
    query: Query,
    *,
    span: int = 4,
    colours: Mapping[float, str] | None = None,
    words: Mapping[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
) -> Stat:
    """Returns a panel with the last value of each series in large print.

    Args:
        colours: colour from each value on; green below the first.
        words: text and colour instead of a value.
        decimals: number of decimals; None leaves it to Grafana.
    """
    panel = (
        _started(Stat(), title, about, span, height=4)
        .unit(unit)
        .targets(_targets([query]))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .thresholds(_thresholds(colours or {}))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if words:
        panel = panel.mappings([_mapped(words)])
    return panel if decimals is None else panel.decimals(decimals)


@dataclass(frozen=True)
class Column:
    """A column of a table: its title, the unit of its values, its query, and words instead of values."""

    name: str
    unit: str
    expr: str
    words: Mapping[str, tuple[str, str]] | None = None


def table(title: str, about: str, labels: Mapping[str, str], columns: Sequence[Column], span: int = COLUMNS) -> Table:
    """Returns a panel with a row for each set of labels.

    Args:
        labels: the labels of a row, with the titles of their columns; the queries must have exactly these labels.
    """
    lettered = _lettered(columns)
    renamed = {**labels, **{f"Value #{letter}": column.name for letter, column in lettered}}
    panel = (
        _started(Table(), title, about, span, height=8)
        .targets(
            [
                _target(column.expr, column.name, letter).instant().format(PromQueryFormat.TABLE)
                for letter, column in lettered
            ]
        )
        .with_transformation(dashboard.DataTransformerConfig("merge", options={}))
        .with_transformation(
            dashboard.DataTransformerConfig(
                "organize", options={"excludeByName": {"Time": True}, "renameByName": renamed}
            )
        )
    )
    for column in columns:
        properties = [dashboard.DynamicConfigValue("unit", column.unit)]
        if column.words:
            properties.append(dashboard.DynamicConfigValue("mappings", [_mapped(column.words)]))
        panel = panel.override_by_name(column.name, properties)
    return panel


def page(uid: str, title: str, about: str, variables: Sequence[dashboards.QueryVariable]) -> dashboards.Dashboard:
    """Returns an empty dashboard that links to the others and marks alerts and promotions."""
    new = (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .time("now-6h", "now")
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
    for variable in variables:
        new = new.with_variable(variable)
    return new


def row(new: dashboards.Dashboard, title: str, *panels: Timeseries | Stat | Table) -> dashboards.Dashboard:
    """Adds a row of panels to a dashboard."""
    new = new.with_row(dashboards.Row(title))
    for panel in panels:
        new = new.with_panel(panel)
    return new


def variable(name: str, label: str, query: str) -> dashboards.QueryVariable:
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


def _targets(queries: Sequence[Query]) -> list[Builder[AnyQuery]]:
    return [_target(query.expr, query.legend, letter) for letter, query in _lettered(queries)]


def _lettered(queries: Sequence[T]) -> list[tuple[str, T]]:
    """Gives each query the letter by which Grafana names it; raises ValueError for more queries than letters."""
    return list(zip(ascii_uppercase[: len(queries)], queries, strict=True))


def _target(expr: str, legend: str, letter: str) -> Dataquery:
    return Dataquery().expr(" ".join(expr.split())).legend_format(legend).ref_id(letter).datasource(DATASOURCE)


def _mapped(words: Mapping[str, tuple[str, str]]) -> dashboard.ValueMap:
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
