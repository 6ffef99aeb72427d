"""Extracts the few values that steps pass on (their facts) from the JSON output of `signs` commands."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]
MOST_REASONS = 5
LONGEST_REASON = 300


class StepError(Exception):
    """A step failed; `final` is whether a repetition would fail, too."""

    def __init__(self, message: str, final: bool) -> None:
        super().__init__(message)
        self.final = final


def audited(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the data sets, their common fingerprint and their common class names.

    Unusable entries of feedback are no error: the training leaves them out.

    Raises:
        StepError: an image or label is broken.
    """
    sets = answer["data_sets"]
    broken = [
        f"{each['name']}: {problem['image']}: {problem['what']}"
        for each in sets
        for kind in ("broken", "bad_boxes")
        for problem in each.get(kind, [])
    ]
    if broken:
        listed = "; ".join(broken[:MOST_REASONS]) + ("; ..." if len(broken) > MOST_REASONS else "")
        count = "a problem" if len(broken) == 1 else f"{len(broken)} problems"
        raise StepError(f"{count} in the data: {listed}", final=True)
    fingerprints = sorted(
        f"{each['name']} {split} {part['fingerprint']}" for each in sets for split, part in each["splits"].items()
    )
    drawn = sorted(each for each in facts["plan"]["data"] if each.startswith("synthetic="))
    digest = hashlib.sha256("\n".join([*fingerprints, *drawn]).encode()).hexdigest()
    left_out = sum(len(each.get("left_out", ())) for each in sets)
    return {
        "data_sets": [each["name"] for each in sets],
        "fingerprint": digest,
        "left_out": left_out,
        "classes": [each["name"] for each in sets[0]["classes"]],
    }


def trained(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the checkpoint, MLflow's run and the figures on test data."""
    figures = {name: value for name, value in answer["metrics"].items() if "test" in name and _is_number(value)}
    return {"checkpoint": answer["checkpoint"], "run_id": answer["run_id"], "figures": figures}


def evaluated(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the figures on the evaluation set: a classifier's accuracy, or a detector's average precision."""
    flat = {**answer, **answer.get("categories", {})}
    wanted = ("samples", "accuracy", "balanced_accuracy", "ece", "signs")
    ending = "_benchmark" if "map50_benchmark" in flat else ""  # of own classes there is the mean of all
    wanted += (f"map50{ending}", f"map50_95{ending}")
    return {name: flat[name] for name in wanted if _is_number(flat.get(name))} | {"data": answer["data"]}


def fetched(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the number of the champion; None if there is no version yet."""
    return {"version": answer[0]["version"] if answer else None}


def exported(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the published version, in the staging repository or in the served one."""
    size = sum(each["size"] for each in answer["files"].values())
    return {"version": answer["version"], "precision": answer["precision"], "bytes": size}


def compared(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the differences between the export and the trained network."""
    return {name: value for name, value in answer.items() if _is_number(value)}


def gated(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the gate's verdict, with the reasons of a refusal."""
    reasons = [f"{rule['rule']}: {rule['text']}" for rule in answer["rules"] if not rule["passed"]]
    return {
        "passed": bool(answer["passed"]) and code == 0,
        "verdict": answer["verdict"],
        "reasons": [reason[:LONGEST_REASON] for reason in reasons[:MOST_REASONS]],
    }


def promoted(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the champion and notes for the user."""
    return {"champion": answer["champion"], "notes": [note[:LONGEST_REASON] for note in answer["notes"]]}


def taken_back(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the restored champion, notes for the user, and the time in seconds since 1970."""
    return {**promoted(code, answer, facts), "time": time.time()}


def rolled_out(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the served version.

    Raises:
        StepError: the served version is not that of this run, because another one became champion.
    """
    version, published = answer["version"], facts["publish"]["version"]
    if version != published:
        raise StepError(
            f"the server has version {version} and not {published}, which this run has published: another promotion "
            "or rollback has changed the champion; start a new run",
            final=True,
        )
    return {"version": version}


def restored(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the version that is served after the rollback."""
    return {"version": answer["version"]}


def watched(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the result of the watch.

    Raises:
        StepError: the new version is worse, or the result is unclear and the run is set to roll back then.
    """
    reasons = "; ".join(answer["reasons"])[: LONGEST_REASON * MOST_REASONS]
    if answer["state"] == "worse":
        raise StepError(f"the new version is worse: {reasons}", final=True)
    if answer["state"] != "fine" and facts["params"]["if_unclear"] == "roll back":
        raise StepError(f"it is unclear whether the new version is worse: {reasons}", final=True)
    return {"state": answer["state"], "reasons": reasons, "looks": answer["looks"]}


def alerted(code: int, answer: Any, facts: Facts) -> dict[str, Any]:
    """Returns the alerts that request a retraining, one line each, sorted."""
    lines = []
    for alert in answer["firing"]:
        labels = {name: value for name, value in alert["labels"].items() if name in ("feature", "version", "model")}
        about = ", ".join(f"{name} {value}" for name, value in sorted(labels.items()))
        lines.append(alert["labels"].get("alertname", "alert") + (f" ({about})" if about else ""))
    return {"firing": sorted(lines)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
