"""The findings of one look, for people and for machines."""

from typing import Any

from rich.table import Table
from rich.text import Text

from monitoring.drift.watch import Finding
from monitoring.settings import DriftConfig
from traffic_signs.console import Console, plain_table


def as_dict(findings: list[Finding], config: DriftConfig) -> dict[str, Any]:
    """Returns all of it by name, for `print_json`."""
    versions = [
        {
            "version": finding.version,
            "verdict": finding.verdict,
            "scenes": finding.scenes,
            "reference_missing": finding.missing,
            "features": finding.scores,
        }
        for finding in findings
    ]
    return {"window": config.window, "limits": config.limits, "versions": versions}


def print_findings(findings: list[Finding], window: str) -> None:
    """Prints a table for each version."""
    console = Console()
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
        console.print(heading)
        if finding.missing:
            console.print(f"  {finding.missing}", soft_wrap=True)
        else:
            console.print(_table(finding))


def _table(finding: Finding) -> Table:
    more = "what there is more of, or why there is no verdict"
    table = plain_table("", "feature", "samples", "PSI", "p", more, right=("samples", "PSI", "p"))
    table.columns[-1].style = "dim"
    for score in finding.scores:
        has_verdict = score.psi is not None and score.p_value is not None
        mark = Text("drift", "red") if score.is_firing else Text("ok", "green") if has_verdict else Text("-", "yellow")
        numbers = (f"{score.psi:.3f}", f"{score.p_value:.2g}") if has_verdict else ("", "")
        table.add_row(mark, score.feature, f"{score.samples:.0f}", *numbers, score.note)
    return table
