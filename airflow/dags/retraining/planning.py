"""Plans a run: its name, its data, and whether there is anything new to learn."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retraining.errors import StepError
from retraining.settings import Settings

SCENES = ("gtsdb=", "coco=", "yolo=", "feedback=")  # data sets of whole scenes, which a detector needs
ENTRY = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+")  # an entry of feedback: its time and a random part


def make_plan(
    settings: Settings, params: Mapping[str, Any], run_id: str, time: datetime, reason: str
) -> dict[str, Any]:
    """Returns the plan that all steps use.

    The name depends only on the DAG run, so that a repeated step finds its earlier results. Raises StepError if the
    model cannot be trained or evaluated on this data, which the form does not check.
    """
    kind = params["model"].removeprefix("sign_")
    specs = [*params["data"], params["evaluation"]]
    unfit = [spec for spec in specs if kind == "detector" and not spec.startswith(SCENES)]
    if unfit:
        raise StepError(
            f"a detector needs whole scenes, and {', '.join(unfit)} has none: give gtsdb=PATH, coco=PATH or yolo=PATH",
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
    """Raises StepError for an unknown name among the parameters that a run was started with.

    Airflow would ignore it, so that a misspelt `dryrun` would be a real run.
    """
    unknown = sorted(set(given) - set(known) - {"openlineage"})  # added by the OpenLineage provider
    if unknown:
        raise StepError(f"there is no parameter {', '.join(unknown)}: there are {', '.join(known)}", final=True)


def entries(settings: Settings, feedback: str, after: str = "") -> list[str]:
    """Returns the names of the entries of feedback after the entry `after`, oldest first; none without a folder."""
    folder = Path(settings.home, feedback)  # an absolute path stays one
    if not folder.exists():
        return []
    return sorted(each.name for each in folder.iterdir() if ENTRY.fullmatch(each.name) and each.name > after)


def _may_have_entries(settings: Settings, feedback: str) -> bool:
    """Returns whether a folder of feedback has entries; True for a folder that only pods can see."""
    if settings.run_on == "kubernetes" and not Path(settings.home, feedback).exists():
        return True
    return bool(entries(settings, feedback))


def recipe(plan: Mapping[str, Any], params: Mapping[str, Any], fingerprint: str, options: Sequence[str]) -> str:
    """Returns a hash of everything that determines the trained network, except the version of the code."""
    facts = [plan["model"], fingerprint, str(params["epochs"]), params["precision"], *options]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def require_same_classes(last: Mapping[str, Any], classes: Sequence[str], others_allowed: bool) -> None:
    """Checks, before anything is trained, that the data have the classes of the last version that a run published.

    Raises StepError if they differ, and the parameter `other_classes` does not allow it.
    """
    before = last.get("classes", classes)
    if before == classes or others_allowed:
        return
    changed = [f"new: {name}" for name in classes if name not in before]
    changed += [f"missing: {name}" for name in before if name not in classes]
    raise StepError(
        f"the data have other classes than version {last['version']} ({'; '.join(changed[:5]) or 'another order'}): "
        "start a new run with the parameter other_classes, and see 'Other classes' in airflow/README.md",
        final=True,
    )


def cooling(last: datetime | None, now: datetime, hours: float) -> timedelta | None:
    """Returns the rest of the cool-down between two retrainings for drift; None if it is over."""
    if last is None:
        return None
    left = last + timedelta(hours=hours) - now
    return left if left > timedelta(0) else None


def verdict_lines(plan: Mapping[str, Any], gate: Mapping[str, Any], dry_run: bool) -> Sequence[str]:
    """Returns the log lines about a challenger that is not published."""
    lines = [str(gate["verdict"]), *(f"  {reason}" for reason in gate["reasons"])]
    if dry_run:
        lines.append("a dry run: nothing is published")
    return [*lines, f"the challenger stays in {plan['staging']}"]
