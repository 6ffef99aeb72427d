"""Builders for the panels of all dashboards; queries, units, legends and descriptions are required."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        title: of the panel.
        about: explains it.
        unit: Grafana's name of the unit, such as `s` or `percentunit` (0 to 1).
        queries: what it shows.
        span: of the 24 columns.
        limit: where an alert begins, drawn as a dashed line.
        maximum: end of the axis.
        stacked: draws the series on top of each other.
        can_be_negative: else the axis begins at 0.
        is_logarithmic: draws powers of 10 at equal distances.
    """
    panel = (
        Timeseries()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(8)
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
    """Returns a panel of the last value of each series, in large print.

    Args:
        title: of the panel.
        about: explains it.
        unit: Grafana's name of the unit.
        query: what it shows.
        span: of the 24 columns.
        colours: of values from a number on; below the first it is green.
        words: text and colour to show in place of a value.
        decimals: how many; chosen by Grafana where not given.
    """
    panel = (
        Stat()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .targets(_targets([query]))
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .thresholds(_thresholds(colours or {}))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if words:
        results = {value: dashboard.ValueMappingResult(text, colour) for value, (text, colour) in words.items()}
        panel = panel.mappings([dashboard.ValueMap(results)])
    return panel if decimals is None else panel.decimals(decimals)


@dataclass(frozen=True)
class Column:
    """A column of a table: what its values are called, their unit, and the query."""

    name: str
    unit: str
    expr: str
    words: Mapping[str, tuple[str, str]] | None = None


def table(title: str, about: str, labels: Mapping[str, str], columns: Sequence[Column], span: int = COLUMNS) -> Table:
    """Returns a panel with a row for each set of labels.

    Args:
        title: of the panel.
        about: explains it.
        labels: that make a row, and what their columns are called; the queries must have these labels alone.
        columns: the values.
        span: of the 24 columns of the grid.
    """
    letters = "ABCDEFGHIJ"[: len(columns)]
    panel = (
        Table()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .span(span)
        .height(8)
        .targets(
            [
                _target(column.expr, column.name, letter).instant().format(PromQueryFormat.TABLE)
                for letter, column in zip(letters, columns, strict=True)
            ]
        )
        .with_transformation(dashboard.DataTransformerConfig("merge", options={}))
        .with_transformation(
            dashboard.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {"Time": True},
                    "renameByName": {
                        **labels,
                        **{f"Value #{letter}": column.name for letter, column in zip(letters, columns, strict=True)},
                    },
                },
            )
        )
    )
    for column in columns:
        properties = [dashboard.DynamicConfigValue("unit", column.unit)]
        if column.words:
            results = {
                value: dashboard.ValueMappingResult(text, colour) for value, (text, colour) in column.words.items()
            }
            properties.append(dashboard.DynamicConfigValue("mappings", [dashboard.ValueMap(results)]))
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


def _targets(queries: Sequence[Query]) -> list[Builder[AnyQuery]]:
    letters = "ABCDEFGHIJ"[: len(queries)]
    return [_target(query.expr, query.legend, letter) for letter, query in zip(letters, queries, strict=True)]


def _target(expr: str, legend: str, letter: str) -> Dataquery:
    return Dataquery().expr(" ".join(expr.split())).legend_format(legend).ref_id(letter).datasource(DATASOURCE)


def _thresholds(colours: Mapping[float, str]) -> dashboards.ThresholdsConfig:
    steps = [
        dashboard.Threshold(None, GREEN),
        *(dashboard.Threshold(value, colour) for value, colour in colours.items()),
    ]
    return dashboards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _marks(name: str, expr: str, colour: str) -> dashboards.AnnotationQuery:
    return dashboards.AnnotationQuery().name(name).datasource(DATASOURCE).enable(True).icon_color(colour).expr(expr)
