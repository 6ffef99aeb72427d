"""The table that ends the demo."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from clients.command.demo.measure import CLIENTS
from traffic_signs.console import Console

LABELS = {
    "pytorch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "triton_grpc": "Triton, gRPC",
    "triton_http": "Triton, HTTP",
}


def print_table(summary: dict[str, Any], console: Console) -> None:
    """Prints what a demo came to, and where to look next."""
    data, latency, http = summary["data"], summary["latency_ms"], summary["latency_ms_http"]
    table = Table(title=f"\n{summary['model']} version {summary['version']}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for key, value in summary["accuracy"].items():
        hits = round(value * data["test_crops"])
        table.add_row(f"accuracy in {LABELS[key]}", f"{value:.2%}  ({hits} of {data['test_crops']})")
    table.add_section()
    table.add_row("one image, gRPC, p50 and p99", f"{latency['p50']:.2f} and {latency['p99']:.2f} ms")
    table.add_row("one image, HTTP, p50 and p99", f"{http['p50']:.2f} and {http['p99']:.2f} ms")
    table.add_row(f"images a second, {CLIENTS} clients", f"{summary['images_per_second']:,.0f}")
    table.add_section()
    for name, size in summary["bytes"].items():
        table.add_row(name, f"{size / 1e6:.2f} MB")
    table.add_row("seconds in all", f"{sum(summary['seconds'].values()):.0f}")
    console.print(table)
    # To be pasted into a shell, whatever is in a path.
    signs = shlex.quote("signs" if shutil.which("signs") else os.path.relpath(sys.argv[0]))
    runs = mlflow_command(Path(summary["report"]).parents[1])
    console.print(
        f"Served by {summary['backend']}.\n\n"
        f"look    {summary['report']}\n"
        f"serve   {signs} serve --repository {shlex.quote(summary['repository'])}\n"
        f"ask     {signs} predict --crops IMAGE\n"
        f"runs    {runs}",
        soft_wrap=True,
    )


def mlflow_command(runs: Path) -> str:
    """Returns the command that shows the runs of a folder in MLflow; outside a checkout there is no Makefile for it."""
    root, runs = Path(__file__).parents[3], runs.absolute()
    if not (root / "Makefile").is_file():
        return f"mlflow ui --backend-store-uri {shlex.quote(f'sqlite:///{runs}/mlflow.db')}"
    where = "" if root == Path.cwd() else f" -C {shlex.quote(str(root))}"
    return f"make{where} mlflow" + ("" if runs == root / "runs" else f" RUNS={shlex.quote(str(runs))}")
