"""What a run is called, what it learns from, and whether there is anything new to learn."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retraining.facts import StepError
from retraining.settings import Settings

SCENES = ("gtsdb=", "coco=", "yolo=", "feedback=")  # data of whole scenes, which a detector needs
ENTRY = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+")  # a folder of feedback: its time, and chance


def make_plan(
    settings: Settings, params: Mapping[str, Any], run_id: str, time: datetime, reason: str
) -> dict[str, Any]:
    """Returns what all steps go by.

    The same run of the DAG gets the same name each time: so a step that is repeated finds what it left.

    Args:
        settings: all.
        params: of the run.
        run_id: Airflow's.
        time: when the run was to start.
        reason: why it runs; goes into the history of promotions.

    Raises:
        StepError: the model cannot learn from this data, or be judged on it; the form cannot tell.
    """
    kind = params["model"].removeprefix("sign_")
    specs = [*params["data"], params["evaluation"]]
    unfit = [spec for spec in specs if kind == "detector" and not spec.startswith(SCENES)]
    if unfit:
        raise StepError(
            f"a detector learns from whole scenes and is judged on them, which {', '.join(unfit)} has none of: give "
            "gtsdb=PATH, coco=PATH or yolo=PATH",
            final=True,
        )
    mark = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    name = f"{kind}-{time.astimezone(UTC):%Y%m%d-%H%M%S}-{mark}"
    folder = f"{settings.runs}/{name}"
    data = list(params["data"])
    feedback = params["feedback"]
    if feedback and f"feedback={feedback}" not in data and _may_have_entries(settings, feedback):
        data.append(f"feedback={feedback}")
    return {
        "name": name,
        "folder": folder,
        "staging": f"{folder}/repository",
        "model": params["model"],
        "data": data,
        "evaluation": params["evaluation"],
        "reason": f"{name}: {reason}",
    }


def require_known(given: Iterable[str], known: Iterable[str]) -> None:
    """Checks the names of the parameters that a run was started with.

    Raises:
        StepError: there are others: Airflow would leave them out, and a `dryrun` would be a real one.
    """
    unknown = sorted(set(given) - set(known) - {"openlineage"})  # which the provider of that name adds
    if unknown:
        raise StepError(f"there is no parameter {', '.join(unknown)}: there are {', '.join(known)}", final=True)


def entries(settings: Settings, feedback: str, after: str = "") -> list[str]:
    """Returns the names of the entries of a folder of feedback that came after another, oldest first.

    A folder that is not there yet has none.
    """
    folder = Path(settings.home, feedback)  # an absolute path stays one
    if not folder.exists():
        return []
    return sorted(each.name for each in folder.iterdir() if ENTRY.fullmatch(each.name) and each.name > after)


def _may_have_entries(settings: Settings, feedback: str) -> bool:
    """Says whether a folder of feedback has entries; of one that pods alone can see it is to be assumed."""
    if settings.run_on == "kubernetes" and not Path(settings.home, feedback).exists():
        return True
    return bool(entries(settings, feedback))


def recipe(plan: Mapping[str, Any], params: Mapping[str, Any], fingerprint: str, options: Sequence[str]) -> str:
    """Returns a mark of all that a run is told of how to train: another mark, another network.

    An upgrade that trains otherwise does not change it: `force` trains then on data that were learned before.

    Args:
        plan: of the run.
        params: of the run.
        fingerprint: of the data.
        options: more options of `signs train`.
    """
    facts = [plan["model"], fingerprint, str(params["epochs"]), params["precision"], *options]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def cooling(last: datetime | None, now: datetime, hours: float) -> timedelta | None:
    """Returns how much is left of the time between two retrainings for drift, None where it is over."""
    if last is None:
        return None
    left = last + timedelta(hours=hours) - now
    return left if left > timedelta(0) else None


def verdict_lines(plan: Mapping[str, Any], gate: Mapping[str, Any], dry_run: bool) -> Sequence[str]:
    """Returns what a person reads of a challenger that is not published."""
    lines = [str(gate["verdict"]), *(f"  {reason}" for reason in gate["reasons"])]
    if dry_run:
        lines.append("a dry run: nothing is published")
    return [*lines, f"it stays in {plan['staging']} to be looked at"]
