"""Compares two reports: ratios of each point, other differences, and the points that became slower."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients.benchmark.figures import QUANTILES, SCHEMA
from clients.benchmark.plan import Point
from traffic_sign_client.errors import ClientError

MACHINE = ("cpu", "cores", "memory_bytes", "gpus", "system", "python")
ARGUMENTS = ("seconds", "rounds")


def load_report(path: Path) -> dict[str, Any]:
    """Reads a report.json, or the one in a folder; raises ClientError if there is none, or it has another schema."""
    path = path / "report.json" if path.is_dir() else path
    try:
        report: Any = json.loads(path.read_text())
    except OSError as error:
        raise ClientError(
            f"{path} cannot be read ({error.strerror}): give the report.json of an earlier run"
        ) from error
    except ValueError as error:
        raise ClientError(f"{path} is not a report of `signs bench`: it is not JSON ({error})") from error
    schema = report.get("schema") if isinstance(report, dict) else None
    if schema != SCHEMA or not isinstance(report.get("points"), list):
        raise ClientError(
            f"{path} is not a report of `signs bench` with schema {SCHEMA}, but {schema!r}: give one of this version"
        )
    return dict(report)


def compare(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Compares a report with an earlier one, which `name` identifies, such as by its path.

    Returns:
        `points` that both have, with ratios new to old; `notes` on other differences; the points that failed now, and
        those that only one of them has.

    Raises:
        ClientError: no point is in both.
    """
    before, after = _measured(old), _measured(new)
    both = [key for key in after if key in before]
    if not both:
        raise ClientError(f"{name} has no point in common with this run: measure the same models, batches and so on")
    failed = {Point.read(each): each["problem"] for each in new["points"] if each["problem"]}
    return {
        "old": name,
        "old_created": old.get("created"),
        "old_git_commit": old.get("environment", {}).get("git_commit", ""),
        "notes": _differences(old, new),
        "points": [_ratios(key, before[key], after[key]) for key in both],
        "failed": [key._asdict() | {"problem": failed[key]} for key in before if key in failed],
        "only_old": [key._asdict() for key in before if key not in after and key not in failed],
        "only_new": [key._asdict() for key in after if key not in before],
    }


def slower(comparison: Mapping[str, Any], most: float) -> list[dict[str, Any]]:
    """Returns the points that became more than `most` times slower, and those that failed now.

    Points whose rounds overlap with those of the earlier run are left out: the difference may be noise.
    """
    points = [each for each in comparison["points"] if each["slowdown"] > most and not each["overlaps"]]
    return [*points, *comparison["failed"]]


def _ratios(key: Point, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    then, now = old["images_per_second"], new["images_per_second"]
    latencies = {
        name: _ratio(new["latency_ms"][name]["median"], old["latency_ms"][name]["median"]) for name in QUANTILES
    }
    return key._asdict() | {
        "old_images_per_second": then["median"],
        "new_images_per_second": now["median"],
        "images_per_second": _ratio(now["median"], then["median"]),
        **latencies,
        "slowdown": _ratio(then["median"], now["median"]),
        "overlaps": now["min"] <= then["max"] and then["min"] <= now["max"],
    }


def _ratio(value: float, to: float) -> float:
    return value / to if to > 0 else 1.0


def _measured(report: Mapping[str, Any]) -> dict[Point, dict[str, Any]]:
    try:
        return {Point.read(each): each for each in report["points"] if "images_per_second" in each}
    except (KeyError, TypeError) as error:
        raise ClientError(f"a report lacks {error} in its points: it was altered; measure again") from error


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Returns the other differences between two runs, a sentence each."""
    both = (old, new)
    versions = [_find(report, "environment", "versions") or {} for report in both]
    models = [_find(report, "server", "models") or {} for report in both]
    served = [
        {name: ", ".join(each[name].get("versions", [])) for name in {*models[0]} & {*models[1]}} for each in models
    ]
    values = [
        *((f"another machine: {name}", *(_find(report, "environment", name) for report in both)) for name in MACHINE),
        *((name, *(_find(report, "arguments", name) for report in both)) for name in ARGUMENTS),
        *((name, *(each.get(name, "missing") for each in versions)) for name in sorted({*versions[0], *versions[1]})),
        ("server", *(_find(report, "server", "description") or "unknown" for report in both)),
        ("code", *(_find(report, "environment", "git_commit") or "unknown" for report in both)),
        *((f"version of {name}", *(each[name] for each in served)) for name in sorted(served[0])),
    ]
    notes = [f"{what} was {then}, is {now}" for what, then, now in values if then != now]
    if _find(old, "pictures", "fingerprint") != _find(new, "pictures", "fingerprint"):
        notes.append("other pictures were sent")
    return notes + [
        f"the {which} run was cut short"
        for which, report in (("earlier", old), ("later", new))
        if not report.get("complete")
    ]


def _find(report: Mapping[str, Any], part: str, name: str) -> Any:
    return report.get(part, {}).get(name)
