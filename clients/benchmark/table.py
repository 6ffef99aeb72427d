"""The tables that `signs bench` prints."""

from collections.abc import Mapping
from typing import Any

from clients.benchmark.figures import QUANTILES, measured_by_model
from clients.benchmark.plan import Point
from clients.benchmark.rounding import figure
from traffic_signs.console import Console, plain_table


def print_points(console: Console, report: Mapping[str, Any]) -> None:
    """Prints a row for each point, the limit, and the problems."""
    for model, points in measured_by_model(report).items():
        has_limit = any("share_of_limit" in each for each in points)
        console.print(f"\n{model}", style="bold")
        columns = ["batch", "clients", "images/s", "span", "p50 ms", "p95 ms", "p99 ms", "queue", "infer"]
        columns += ["of limit"] if has_limit else []
        table = plain_table("", *columns, right=columns, gap=1)
        for each in points:
            rate, latency, parts = each["images_per_second"], each["latency_ms"], each["parts_ms"]
            cells = [str(each["batch"]), str(each["concurrency"]), figure(rate["median"])]
            cells.append(f"{(rate['max'] - rate['min']) / (rate['median'] or 1):.0%}")
            cells += [figure(latency[name]["median"]) for name in QUANTILES]
            cells += [figure(parts[name]["median"]) for name in ("queue", "inference")]
            cells += [f"{each['share_of_limit']:.2f}"] if has_limit else []
            table.add_row(each["protocol"], *cells)
        console.print(table)
    if report["limit"]:
        best = report["limit"]["ways"][0]
        console.print(
            f"limit: ONNX Runtime in process does {figure(report['limit']['images_per_second'])} images/s "
            f"({best['sessions']} x {best['threads']} threads, batch {best['batch']})",
            soft_wrap=True,
        )
    for each in report["points"]:
        if each["problem"]:
            console.print(f"{Point.read(each)}: {each['problem']}", soft_wrap=True)


def print_comparison(console: Console, comparison: Mapping[str, Any]) -> None:
    """Prints the ratios new to old of each point, and the other differences."""
    console.print(f"\ncompared with {comparison['old']}; ratios are new to old", soft_wrap=True)
    for note in comparison["notes"]:
        console.print(f"note: {note}", soft_wrap=True)
    for model in dict.fromkeys(each["model"] for each in comparison["points"]):
        console.print(f"\n{model}", style="bold")
        columns = ["batch", "clients", "was", "is", "images/s", "p50", "p95", "p99"]
        table = plain_table("", *columns, "", right=columns, gap=1)
        for each in comparison["points"]:
            if each["model"] == model:
                table.add_row(
                    each["protocol"],
                    str(each["batch"]),
                    str(each["concurrency"]),
                    figure(each["old_images_per_second"]),
                    figure(each["new_images_per_second"]),
                    *(f"{each[name]:.2f}x" for name in ("images_per_second", *QUANTILES)),
                    "overlap" if each["overlaps"] else "faster" if each["slowdown"] < 1 else "slower",
                )
        console.print(table)
    for what, said in (("failed", "fails now"), ("only_old", "not measured now"), ("only_new", "was not measured")):
        for each in comparison[what]:
            console.print(f"{Point.read(each)}: {said}", soft_wrap=True)
