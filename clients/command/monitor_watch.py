"""`signs monitor watch` and `signs monitor alerts`: what whoever rolls out or retrains asks Prometheus."""

from typing import Annotated

import typer

from clients.command.monitor_options import PROMETHEUS, PrometheusOption, check_duration

# What both end with, as `signs monitor drift --once`.
FINE, WORSE, UNCLEAR = 0, 1, 2


def watch(
    prometheus: PrometheusOption = PROMETHEUS,
    old: Annotated[
        str, typer.Option(help="Label matchers of the old version, as 'track=\"stable\"'.", show_default="all series")
    ] = "",
    new: Annotated[str, typer.Option(help="Label matchers of the new version.", show_default="all series")] = "",
    since: Annotated[
        float | None,
        typer.Option(
            help="When the new version took the old one's place, in seconds since 1970: compare before with after.",
            show_default="both serve at once",
        ),
    ] = None,
    window: Annotated[str, typer.Option(help="Time to look back: 5m, 1h.", callback=check_duration)] = "5m",
    duration: Annotated[str, typer.Option("--for", help="How long to watch.", callback=check_duration)] = "10m",
    interval: Annotated[str, typer.Option(help="Time from one look to the next.", callback=check_duration)] = "15s",
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Watch a new version: does it fail more, answer more slowly or less surely than the old one?

    The questions are those of the chart's canary. Two looks in a row that say worse end the watch at once.

    Exit code 0: it does no worse; 1: it does worse, the reasons are printed; 2: that cannot be decided, for
    want of requests or of Prometheus.

    \b
    signs monitor watch --since $(date +%s)                        # after `signs repository roll-out`
    signs monitor watch --old 'track="stable"' --new 'track="canary"' --for 30m --json
    """
    import json
    from dataclasses import asdict

    from monitoring import comparison
    from monitoring.drift.prometheus import Prometheus, seconds

    if since is None and old == new:
        raise typer.BadParameter("old and new are the same series: distinguish them by --old and --new, or by --since")
    try:
        verdict = comparison.watch(
            Prometheus(prometheus),
            comparison.Comparison(old, new, seconds(window), since),
            seconds(duration),
            seconds(interval),
            lambda sentence: typer.echo(f"note: {sentence}", err=True),
        )
    except Exception as error:  # whatever it is: the code of a crash would say worse
        typer.echo(f"signs: {error}", err=True)
        raise typer.Exit(UNCLEAR) from error
    if as_json:
        typer.echo(json.dumps(asdict(verdict)))
    else:
        typer.echo("\n".join([verdict.state, *(f"  {reason}" for reason in verdict.reasons)]))
    raise typer.Exit({"fine": FINE, "worse": WORSE, "unclear": UNCLEAR}[verdict.state])


def alerts(
    prometheus: PrometheusOption = PROMETHEUS,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only alerts with this label, repeatable.", show_default="all alerts"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the alerts as JSON.")] = False,
) -> None:
    """List the alerts that are firing now; those that ask for a retraining have the label retrain=true.

    Exit code 0: none fires; 1: some do; 2: Prometheus cannot be asked.

    \b
    signs monitor alerts
    signs monitor alerts --label retrain=true --json
    """
    import json

    from monitoring.drift.prometheus import Prometheus

    wanted = [tuple(each.split("=", 1)) for each in label or []]
    if any(len(each) != 2 or not each[0] for each in wanted):
        raise typer.BadParameter("give NAME=VALUE, such as retrain=true", param_hint="--label")
    try:
        firing = [
            each
            for each in Prometheus(prometheus).alerts()
            if each["state"] == "firing" and set(wanted) <= set(each["labels"].items())
        ]
    except Exception as error:  # whatever it is: the code of a crash would say that one fires
        typer.echo(f"signs: {error}", err=True)
        raise typer.Exit(UNCLEAR) from error
    if as_json:
        typer.echo(json.dumps({"firing": firing}))
    for each in firing if not as_json else []:
        name = each["labels"].get("alertname", "?")
        typer.echo(f"{name}: {each.get('annotations', {}).get('summary', 'firing')}")
    raise typer.Exit(WORSE if firing else FINE)
