"""The findings of one look, for people and for machines."""

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitoring.drift.limits import Limits
from monitoring.drift.watch import Finding


def as_dict(findings: list[Finding], window: str, limits: Limits) -> dict[str, Any]:
    """Returns all of it by name, for JSON."""
    versions = [
        {
            "version": finding.version,
            "verdict": finding.verdict,
            "scenes": finding.scenes,
            "reference_missing": finding.missing,
            "features": [asdict(score) for score in finding.scores],
        }
        for finding in findings
    ]
    return {"window": window, "limits": asdict(limits), "versions": versions}


def print_findings(console: Console, findings: list[Finding], window: str) -> None:
    """Prints a table for each version."""
    if not findings:
        console.print(
            "Prometheus has no metrics of a sign_recognizer: check that it scrapes the server, and --selector"
        )
    colours = {"drift": "red", "no drift": "green", "not evaluated": "yellow"}
    for finding in findings:
        heading = Text.assemble(
            (f"sign_recognizer {finding.version}", "bold"),
            ": ",
            (finding.verdict, colours[finding.verdict]),
            f", {finding.scenes:.0f} scenes in the last {window}",
        )
        console.print(heading, highlight=False)
        if finding.missing:
            console.print(f"  {finding.missing}", highlight=False, markup=False, soft_wrap=True)
        else:
            console.print(_table(finding))


def _table(finding: Finding) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("", "feature"):
        table.add_column(column)
    for column in ("samples", "PSI", "p"):
        table.add_column(column, justify="right")
    table.add_column("what there is more of, or why there is no verdict", style="dim")
    for score in finding.scores:
        has_verdict = score.psi is not None and score.p_value is not None
        mark = Text("drift", "red") if score.is_firing else Text("ok", "green") if has_verdict else Text("-", "yellow")
        numbers = (f"{score.psi:.3f}", f"{score.p_value:.2g}") if has_verdict else ("", "")
        table.add_row(mark, score.feature, f"{score.samples:.0f}", *numbers, score.note)
    return table
