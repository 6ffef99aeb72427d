"""The comparison in Markdown, for the terminal and a README."""

from collections.abc import Mapping, Sequence
from typing import Any

from clients.benchmark.environment import busy_notice
from clients.benchmark.peers.servers import TRITON


def task_title(task: str, plan: Mapping[str, Any]) -> str:
    """Returns the title of a task."""
    if task == "recognize":
        return "Whole scenes, one photograph a request"
    crops = "one crop" if plan["crops"] == 1 else f"{plan['crops']} crops"
    return f"The classifier, {crops} a request"


def markdown(summary: Mapping[str, Any]) -> str:
    """Returns the tables of all tasks; `summary` is the content of peers.json."""
    plan, busy = summary["plan"], busy_notice(summary["machine"])
    rounds = f"{plan['rounds']} round{'s' if plan['rounds'] > 1 else ''}"
    parts = [
        f"{hardware(summary)}, {summary['created'][:10]}; {rounds} of {plan['seconds']:g} s a load, medians over the "
        f"rounds.{f' **Note: {busy}.**' if busy else ''}"
    ]
    for name, task in summary["tasks"].items():
        parts += [
            f"### {task_title(name, plan)}",
            _closed(task),
            _open(task),
            "\n".join(sentences(task)),
            _problems(task),
        ]
    parts += [f"`{name}` was skipped: {reason}" for name, reason in summary["skipped"].items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def hardware(summary: Mapping[str, Any]) -> str:
    """Returns what the servers computed on: the GPU, if they used one, and the cores."""
    machine = summary["machine"]
    cores = f"{machine['cores']} cores ({machine['cpu']})"
    gpus = machine["gpus"][:1] if summary["plan"]["device"] == "cuda" else []  # none is known without nvidia-smi
    return ", ".join([*gpus, cores])


def ranked(task: Mapping[str, Any]) -> list[str]:
    """Returns the measured servers, fastest first."""
    measured = {name: each for name, each in task["servers"].items() if each["medians"]}
    return sorted(measured, key=lambda name: -max(_closed_loops(measured[name], "throughput").values(), default=0.0))


def _closed_loops(server: Mapping[str, Any], figure: str) -> dict[int, float]:
    return {each["clients"]: each[figure] for each in server["medians"] if each["clients"] and each[figure] is not None}


def _closed(task: Mapping[str, Any]) -> str:
    names = ranked(task)
    clients = list(
        dict.fromkeys(number for name in names for number in _closed_loops(task["servers"][name], "throughput"))
    )
    if not clients:
        return ""
    heads = ["answers a second (p99 in ms)"] + [f"{number} client{'s' if number > 1 else ''}" for number in clients]
    rows = []
    for name in names:
        server = task["servers"][name]
        rates, tails = _closed_loops(server, "throughput"), _closed_loops(server, "p99_ms")
        failed = {each["clients"] for each in server["medians"] if each["clients"] and each["failures"]}
        cells = [
            f"{rates[number]:,.0f} ({tails[number]:.1f})" + (" †" if number in failed else "")
            if number in rates and number in tails
            else "-"
            for number in clients
        ]
        rows.append([_title(name, server), *cells])
    limit = task["limit"]["throughput"]
    rows.append([f"ONNX Runtime in process, {task['limit']['way']}", f"{limit:,.0f}", *[""] * (len(clients) - 1)])
    text = _table(heads, rows)
    return text + ("\n\n† some requests failed" if "†" in text else "")


def _open(task: Mapping[str, Any]) -> str:
    if not task["rates"]:
        return ""
    rows = []
    for name in ranked(task):
        found = {each["rate"]: each for each in task["servers"][name]["medians"] if each["rate"]}
        cells = [_tail(found[rate]) if rate in found else "-" for rate in task["rates"]]
        rows.append([_title(name, task["servers"][name]), *cells])
    return _table(["p50 / p99 in ms at a fixed rate", *(f"{rate:,.0f} a second" for rate in task["rates"])], rows)


def _tail(point: Mapping[str, Any]) -> str:
    return f"{point['p50_ms']:.1f} / {point['p99_ms']:.1f}" if point["keeps_up"] else "does not keep up"


def _title(name: str, server: Mapping[str, Any]) -> str:
    return f"**{server['title']}**" if name == TRITON else str(server["title"])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(each.replace("|", "\\|") for each in line) + " |" for line in lines)


def sentences(task: Mapping[str, Any]) -> list[str]:
    """Returns the conclusions, a list item each; none if Triton or all others are missing."""
    comparison, servers = task["comparison"], task["servers"]
    found = []
    for clients, each in comparison["at"].items():
        found.append(
            f"- {clients} client{'s' if clients != '1' else ''}: {each['ratio']:.2f} times the best other "
            f"({servers[each['best']]['title']}), at {'no worse' if each['p99_holds'] else 'a worse'} p99 "
            f"({each['ours']['p99_ms']:.1f} ms against {each['theirs']['p99_ms']:.1f} ms)"
        )
    for budget, each in comparison["within"].items():
        if each["ours"] is None:
            found.append(f"- Triton is never within a p99 of {budget} ms")
        elif each["ratio"] is not None:
            found.append(f"- within a p99 of {budget} ms: {each['ratio']:.2f} times the best other")
    if comparison["at"] and comparison["of_limit"] is not None:
        found.append(f"- {comparison['of_limit']:.2f} of ONNX Runtime in process")
    alone = comparison["alone"]
    if alone["ours"] is not None and alone["theirs"] is not None:
        found.append(
            f"- a single client waits {alone['ours']:.2f} ms (p50), with {servers[alone['best']]['title']} "
            f"{alone['theirs']:.2f} ms"
        )
    return found


def _problems(task: Mapping[str, Any]) -> str:
    return "\n".join(
        f"- {each['title']} is missing: {each['problem']}" for each in task["servers"].values() if each["problem"]
    )
