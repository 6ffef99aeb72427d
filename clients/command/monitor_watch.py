"""`signs monitor watch` and `signs monitor alerts`: questions to Prometheus after a roll-out and before training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from clients.command.output import print_json, print_note, print_result
from monitoring.settings import PROMETHEUS, PrometheusAddress, WatchConfig
from traffic_signs.durations import seconds
from traffic_signs.options import with_options
from traffic_signs.settings import Json, Setting

# Exit codes of both and of `signs monitor drift --once`, as of diff(1).
FINE, WORSE, UNCLEAR = 0, 1, 2


@contextmanager
def unclear_on_error() -> Iterator[None]:
    """Ends with UNCLEAR on any error: the code of a crash would mean that something is worse."""
    try:
        yield
    except Exception as error:
        typer.echo(f"signs: {error}", err=True)
        raise typer.Exit(UNCLEAR) from error


@with_options
def watch(config: WatchConfig, as_json: Json = False) -> None:
    """Watch a new version: does it fail more often, or answer more slowly or with lower scores than the old one?

    The checks are those of the chart's canary. Two failed rounds of checks in a row end the watch at once.

    Exit codes: 0 it does no worse; 1 it does worse, and the reasons are printed; 2 no verdict, because requests are too
    few or Prometheus does not answer.

    Examples:
        signs monitor watch --since $(date +%s)   # after a roll-out
        signs monitor watch --old 'track="stable"' --new 'track="canary"' --for 30m
    """
    from monitoring import comparison
    from monitoring.drift.prometheus import Prometheus

    with unclear_on_error():
        verdict = comparison.watch(
            Prometheus(config.prometheus),
            comparison.Comparison(config.old, config.new, seconds(config.window), config.since),
            seconds(config.duration),
            seconds(config.interval),
            print_note,
        )
    print_result(verdict, as_json, "\n".join([verdict.state, *(f"  {reason}" for reason in verdict.reasons)]))
    raise typer.Exit({"fine": FINE, "worse": WORSE, "unclear": UNCLEAR}[verdict.state])


@with_options
def alerts(
    prometheus: PrometheusAddress = PROMETHEUS,
    label: Annotated[
        tuple[str, ...],
        Setting(
            "Only alerts with this label; repeatable.", metavar="NAME=VALUE", show_default="all alerts", repeatable=True
        ),
    ] = (),
    as_json: Json = False,
) -> None:
    """List the alerts that are firing now; those that ask for a retraining have the label retrain=true.

    Exit codes: 0 no alert fires; 1 some do; 2 Prometheus does not answer.

    Examples:
        signs monitor alerts
        signs monitor alerts --label retrain=true --json
    """
    from monitoring.drift.prometheus import Prometheus

    wanted = [tuple(each.split("=", 1)) for each in label]
    if any(len(each) != 2 or not each[0] for each in wanted):
        raise typer.BadParameter("give NAME=VALUE, such as retrain=true", param_hint="--label")
    with unclear_on_error():
        firing = [
            each
            for each in Prometheus(prometheus).alerts()
            if each["state"] == "firing" and set(wanted) <= set(each["labels"].items())
        ]
    if as_json:
        print_json({"firing": firing})
    for each in firing if not as_json else []:
        name = each["labels"].get("alertname", "?")
        typer.echo(f"{name}: {each.get('annotations', {}).get('summary', 'firing')}")
    raise typer.Exit(WORSE if firing else FINE)
