"""What `signs repository` shows a person."""

import re
from collections.abc import Sequence
from typing import Any

from export.repository.comparison import Difference
from export.repository.verification import Check
from traffic_signs.console import Console, plain_table

WIDE = 110  # columns of a terminal that all columns of the list fit in


def numbers(versions: Sequence[int]) -> str:
    """Returns numbers with commas between them."""
    return ", ".join(map(str, versions)) or "none"


def print_list(rows: Sequence[dict[str, Any]], repository: str) -> None:
    """Prints a table of versions; without data and commit, which `show` prints too, where the terminal is narrow."""
    console = Console()
    if not rows:
        console.print(f"no version of any model in {repository}: publish one first", soft_wrap=True)
        return
    is_wide = console.width >= WIDE
    table = plain_table("model")
    table.add_column("version", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for name in ("published (UTC)", "precision"):
        table.add_column(name, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("data", overflow="fold")
        table.add_column("commit", no_wrap=True)
    for row in rows:
        state = [word for word in ("champion", "served", "signed") if row[word]]
        verdict = row["gate"] and ("gate passed" if row["gate"].get("passed") is True else "gate refused")
        if verdict == "gate refused" and row["served"]:
            state[state.index("served")] = f"served ({verdict})"
        elif verdict:
            state.append(verdict)
        if not row["manifest"]:
            state.append("of a newer release" if row["newer"] else "damaged" if row["problem"] else "made by hand")
        table.add_row(
            row["model"],
            str(row["version"]),
            ", ".join(state),
            row["created"][:16].replace("T", " "),
            row["precision"] + (", int8" if row["int8"] else ""),
            f"{row['size'] / 1e6:.2f} MB",
            *((row["data"].get("name", ""), row["source"].get("git_commit", "")[:10]) if is_wide else ()),
        )
    console.print(table)


def print_history(found: dict[str, Any]) -> None:
    """Prints what `show MODEL` found."""
    console = Console()
    table = plain_table()
    table.add_row("versions", numbers(found["versions"]))
    table.add_row("served", numbers(found["served"]))
    table.add_row("champion", str(found["champion"] or "none was promoted yet"))
    table.add_row("a rollback goes to", str(found["rollback"] or "nothing: there is no earlier champion"))
    for position, entry in enumerate(found["history"]):
        reason = f" ({entry['reason']})" if entry["reason"] else ""
        verb = "promoted" if entry["action"] == "promote" else "rolled back to"
        table.add_row("" if position else "history", f"{entry['time'][:16]} {verb} {entry['version']}{reason}")
    console.print(table)


def print_facts(facts: dict[str, Any]) -> None:
    """Prints what `show MODEL VERSION` found."""
    console = Console()
    table = plain_table()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _flat({**facts, "gate": _gate_lines(facts["gate"])}).items():
        if value not in ("", None):
            table.add_row(name, _text(value))
    console.print(table)


def print_checks(checks: Sequence[Check]) -> None:
    """Prints what verify found."""
    console = Console()
    for check in checks:
        name = check.model if check.version is None else f"{check.model} {check.version}"
        signature = "" if check.signature in ("none", "unchecked") else f", signature {check.signature}"
        for problem in check.problems:
            console.print(f"{name}: {problem}", style="red", soft_wrap=True)
        for notice in check.notices:
            console.print(f"note: {notice}", soft_wrap=True)
        if check.version is not None and not check.problems:
            console.print(f"{name}: {'unchecked' if check.notices else 'intact'}{signature}")
    wrong = sum(bool(check.problems) for check in checks)
    versions = sum(check.version is not None for check in checks)
    console.print(f"{versions} versions checked, {wrong or 'no'} {'problem' if wrong == 1 else 'problems'}")


def print_differences(rows: Sequence[Difference], model: str, first: int, second: int) -> None:
    """Prints what diff found."""
    table = plain_table(model, f"version {first}", f"version {second}", "difference", right=("difference",))
    for row in rows:
        delta = "" if row.delta is None else f"{row.delta:+.6g}" if row.delta else "0"
        table.add_row(row.name, _short(row.first), _short(row.second), delta)
    Console().print(table)


def _gate_lines(gate: dict[str, Any]) -> dict[str, Any]:
    """Returns what a person wants to know of a verdict: the sentence, the evaluation set, each rule in a line."""
    if not gate:
        return {}
    lines = {name: gate.get(name) for name in ("verdict", "time", "data")}
    for each in gate.get("rules", []):
        lines[each.get("rule")] = f"{'passed' if each.get('passed') else 'refused'}: {each.get('text')}"
    return lines


def _short(value: Any) -> str:
    """Returns the text of a value; of a sha256 or a commit enough to recognise it."""
    return value[:12] if isinstance(value, str) and re.fullmatch("[0-9a-f]{40,64}", value) else _text(value)


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, dict) and set(value) != {"sha256", "size"}:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value)) or "-"
    return str(value)
