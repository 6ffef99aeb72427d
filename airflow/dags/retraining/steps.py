"""The steps of the DAGs: the `signs` command of each, and the few values (facts) that it passes on to later steps."""

import hashlib
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

from retraining.errors import StepError, StepSkippedError
from retraining.settings import Settings

MOST_REASONS = 5
LONGEST_REASON = 300

Facts = Mapping[str, Any]
Work = Generator[list[str], Any, dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One call of `signs`."""

    name: str  # id of the task
    about: str  # for the interface
    # For the settings and the facts of earlier steps, by name, and the run's `params`: yields the command line, gets
    # the output of the command, and returns the step's own facts.
    work: Callable[[Settings, Facts], Work]
    advice: str  # what to do after a failure
    answers: tuple[int, ...] = (0,)  # exit codes with an answer; some commands also return a verdict by a code above 0
    minutes: float = 30  # timeout
    retries: int = 2  # after a failure
    gpu: bool = False  # request the GPUs
    gate: bool = False  # use the image of the gate


def step(*, advice: str, **options: Any) -> Callable[[Callable[[Settings, Facts], Work]], Step]:
    """Makes a Step of a function, with its name and its docstring; the options are those of Step."""
    return lambda work: Step(work.__name__, getdoc(work) or "", work, advice, **options)


@step(
    advice="Read the report in the run's folder (audit/audit.json), fix or remove what is broken, and start a new run.",
    answers=(0, 1),
    minutes=120,
    retries=1,
)
def audit(settings: Settings, facts: Facts) -> Work:
    """Reads every image and label of the training data, the feedback and the evaluation set.

    A broken image or label ends the run. Unusable entries of feedback do not: the training leaves them out.
    """
    plan = facts["plan"]
    specs = dict.fromkeys([*plan["data"], plan["evaluation"]])
    real = [spec for spec in specs if not spec.startswith("synthetic=")]
    answer = yield ["data", "check", *real, "--output", f"{plan['folder']}/audit", "--json"]
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
    drawn = sorted(each for each in plan["data"] if each.startswith("synthetic="))
    return {
        "data_sets": [each["name"] for each in sets],
        "fingerprint": hashlib.sha256("\n".join([*fingerprints, *drawn]).encode()).hexdigest(),
        "left_out": sum(len(each.get("left_out", ())) for each in sets),
        "classes": [each["name"] for each in sets[0]["classes"]],
    }


@step(
    advice="Read the last lines of the log: out of memory, a full disk, MLflow not reachable. Clear this task to "
    "resume.",
    minutes=24 * 60,
    gpu=True,
)
def train(settings: Settings, facts: Facts) -> Work:
    """Trains a challenger on all of the data; MLflow has its curves. A retry resumes after the last complete epoch."""
    plan, params = facts["plan"], facts["params"]
    kind = plan["model"].removeprefix("sign_")
    epochs = ["--epochs", str(params["epochs"])] if params["epochs"] else []
    data = [part for spec in plan["data"] for part in ("--data", spec)]
    run = ["--name", plan["name"], "--runs", settings.runs]
    answer = yield ["train", kind, *data, *run, *epochs, *settings.train_options, "--resume-or-skip", "--json"]
    figures = {name: value for name, value in answer["metrics"].items() if "test" in name and _is_number(value)}
    return {"checkpoint": answer["checkpoint"], "run_id": answer["run_id"], "figures": figures}


@step(
    advice="Check that the evaluation set exists and is complete (SIGNS_EVALUATION), then clear this task.", minutes=120
)
def evaluate(settings: Settings, facts: Facts) -> Work:
    """Evaluates the trained network on the evaluation set; pictures of its mistakes are in the run's folder."""
    plan = facts["plan"]
    output = f"{plan['folder']}/evaluation"
    checkpoint = facts["train"]["checkpoint"]
    answer = yield ["evaluate", checkpoint, "--data", plan["evaluation"], "--output", output, "--json"]
    flat = {**answer, **answer.get("categories", {})}
    ending = "_benchmark" if "map50_benchmark" in flat else ""  # of own classes there is the mean of all
    wanted = ("samples", "accuracy", "balanced_accuracy", "ece", "signs", f"map50{ending}", f"map50_95{ending}")
    return {name: flat[name] for name in wanted if _is_number(flat.get(name))} | {"data": answer["data"]}


@step(advice="The served repository cannot be read, or its champion is damaged: run `signs repository verify`.")
def fetch_champion(settings: Settings, facts: Facts) -> Work:
    """Copies the champion into the staging repository of this run, for the comparison with the challenger."""
    plan = facts["plan"]
    pull = ["repository", "pull", settings.repository, plan["staging"]]
    answer = yield [*pull, "--version", plan["model"], "--missing-ok", "--json"]
    return {"version": answer[0]["version"] if answer else None}


@step(
    advice="The export differs from the trained network, or this precision loses too much: read the log, or use fp32. "
    "If the classes differ from the champion's: start a new run with the parameter `other_classes`.",
    minutes=120,
)
def export(settings: Settings, facts: Facts) -> Work:
    """Exports the challenger to ONNX in the requested precision, into the staging repository, which no server reads."""
    plan, params = facts["plan"], facts["params"]
    where = ["--repository", plan["staging"], "--data", plan["evaluation"]]
    checkpoint = facts["train"]["checkpoint"]
    precision = ["--precision", params["precision"]]
    answer = yield ["export", "onnx", checkpoint, *where, *precision, *_other_classes(facts), "--if-new", "--json"]
    return _published(answer)


@step(
    advice="The exported file and the trained network give different answers: do not publish anything of this run.",
    retries=1,
)
def parity(settings: Settings, facts: Facts) -> Work:
    """Compares the exported file with PyTorch again, on the evaluation set."""
    source = ["--checkpoint", facts["train"]["checkpoint"], "--data", facts["plan"]["evaluation"]]
    answer = yield ["export", "parity", _staged(facts), *source, "--json"]
    return {name: value for name, value in answer.items() if _is_number(value)}


@step(
    advice="The gate could not run: read the log. A refusal is not a failure and ends the run successfully.",
    answers=(0, 1),
    minutes=120,
    gate=True,
)
def gate(settings: Settings, facts: Facts) -> Work:
    """Serves challenger and champion on a real Triton and compares them: accuracy, each class, latency, size."""
    plan, champion = facts["plan"], facts["fetch_champion"]["version"]
    who = ["--repository", plan["staging"], "--challenger", str(facts["export"]["version"])]
    who += ["--champion", str(champion)] if champion else []
    where = ["--data", plan["evaluation"], "--runs", settings.runs, "--home", settings.triton]
    where += _other_classes(facts) + (["--dry-run"] if facts["params"]["dry_run"] else [])
    answer = yield ["export", "gate", plan["model"], *who, *where, *settings.gate_options, "--json"]
    reasons = [f"{rule['rule']}: {rule['text']}" for rule in answer["rules"] if not rule["passed"]]
    return {
        "passed": bool(answer["passed"]),
        "verdict": answer["verdict"],
        "reasons": [reason[:LONGEST_REASON] for reason in reasons[:MOST_REASONS]],
    }


@step(advice="The served repository is not writable: check its rights, then clear this task.")
def settle_champion(settings: Settings, facts: Facts) -> Work:
    """Records the served version as the champion if nothing was ever promoted, so that a rollback is possible."""
    version = facts["fetch_champion"]["version"]
    if not version:
        raise StepSkippedError("there is no version to promote yet")
    served = _served(settings, "served before the first retraining")
    answer = yield ["repository", "promote", facts["plan"]["model"], str(version), *served, "--if-no-champion"]
    return _champion(answer)


@step(
    advice="The repository is not writable: check rights and space, then clear this task. No partial version is left."
)
def publish(settings: Settings, facts: Facts) -> Work:
    """Publishes the challenger in the served repository, under the next number, with its verdict.

    A repetition finds the published version. The served version does not change yet.
    """
    where = ["--repository", settings.repository]
    answer = yield ["repository", "publish", _staged(facts), *where, *_other_classes(facts), "--if-new", "--json"]
    return _published(answer)


@step(advice="Another version became champion meanwhile: start a new run, which compares with that one.")
def promote(settings: Settings, facts: Facts) -> Work:
    """Makes the new version the champion, if it passed the gate against the current one, and sets MLflow's alias."""
    plan, version = facts["plan"], str(facts["publish"]["version"])
    options = [*_served(settings, plan["reason"]), *_other_classes(facts), "--gated"]
    answer = yield ["repository", "promote", plan["model"], version, *options]
    return _champion(answer)


@step(
    advice="The server is down or cannot load the version; the previous champion is restored. Read the server's log. "
    "To try again, clear the task promote and all later ones.",
    retries=1,
)
def roll_out(settings: Settings, facts: Facts) -> Work:
    """Has the server load the new champion while the old one answers, and waits until the new one is ready."""
    require_in_place(facts)
    answer = yield _load_champion(settings, facts)
    version, published = answer["version"], facts["publish"]["version"]
    if version != published:
        raise StepError(
            f"the server has version {version} and not {published}, which this run has published: another promotion "
            "or rollback has changed the champion; start a new run",
            final=True,
        )
    return {"version": version}


@step(
    advice="The previous champion is restored. Compare the two versions on the dashboards. To try the new one again, "
    "clear the task promote and all later ones.",
    answers=(0, 1, 2),
    minutes=24 * 60,
    retries=1,
)
def watch(settings: Settings, facts: Facts) -> Work:
    """Asks Prometheus whether the new version fails more, is slower or has lower scores than the previous one."""
    require_in_place(facts)
    series = ["--old", settings.watch_series, "--new", settings.watch_series] if settings.watch_series else []
    since = f"{facts['before']['time']:.3f}"
    times = ["--since", since, "--for", settings.watch_for, "--window", settings.watch_window]
    answer = yield ["monitor", "watch", "--prometheus", settings.prometheus, *series, *times, "--json"]
    reasons = "; ".join(answer["reasons"])[: LONGEST_REASON * MOST_REASONS]
    if answer["state"] == "worse":
        raise StepError(f"the new version is worse: {reasons}", final=True)
    if answer["state"] != "fine" and facts["params"]["if_unclear"] == "roll back":
        raise StepError(f"it is unclear whether the new version is worse: {reasons}", final=True)
    return {"state": answer["state"], "reasons": reasons, "looks": answer["looks"]}


@step(advice="Restore the champion by hand: `signs repository rollback`.")
def roll_back(settings: Settings, facts: Facts) -> Work:
    """Makes the previous champion the champion again. A repetition does not roll back further."""
    if not facts["publish"]:
        raise StepSkippedError("nothing was published, so there is nothing to roll back")
    version, model = str(facts["publish"]["version"]), facts["plan"]["model"]
    served = _served(settings, f"{facts['plan']['name']} failed after its promotion")
    answer = yield ["repository", "rollback", model, "--if-champion", version, *served]
    return {**_champion(answer), "time": time.time()}


@step(advice="The server does not answer: restart it; it then serves the restored champion.")
def restore(settings: Settings, facts: Facts) -> Work:
    """Has the server load the restored champion."""
    answer = yield _load_champion(settings, facts)
    return {"version": answer["version"]}


@step(
    advice="Prometheus does not answer (SIGNS_PROMETHEUS): drift is not noticed until it does.",
    answers=(0, 1),
    minutes=5,
)
def look_for_drift(settings: Settings, facts: Facts) -> Work:
    """Asks Prometheus which alerts with the label `retrain` are firing."""
    answer = yield ["monitor", "alerts", "--prometheus", settings.prometheus, "--label", "retrain=true", "--json"]
    lines = []
    for alert in answer["firing"]:
        labels = {name: value for name, value in alert["labels"].items() if name in ("feature", "version", "model")}
        about = ", ".join(f"{name} {value}" for name, value in sorted(labels.items()))
        lines.append(alert["labels"].get("alertname", "alert") + (f" ({about})" if about else ""))
    return {"firing": sorted(lines)}


def require_in_place(facts: Facts) -> None:
    """Raises StepError if the new version was rolled back after the step `before`.

    Otherwise a step that is cleared after a rollback would roll out and watch the previous champion, and confirm the
    new version. The XComs of cleared steps stay until they run again, so the times are compared.
    """
    back, before = facts["roll_back"], facts["before"]
    if back and back["time"] > before["time"]:
        raise StepError(
            f"version {back['champion']} was restored after version {facts['publish']['version']} had failed: to try "
            "it again, clear the task promote and all later ones",
            final=True,
        )


def _load_champion(settings: Settings, facts: Facts) -> list[str]:
    where = ["--repository", settings.repository, "--url", settings.server]
    return ["repository", "roll-out", facts["plan"]["model"], *where, "--json"]


def _other_classes(facts: Facts) -> list[str]:
    return ["--other-classes"] if facts["params"]["other_classes"] else []


def _staged(facts: Facts) -> str:
    plan = facts["plan"]
    return f"{plan['staging']}/{plan['model']}/{facts['export']['version']}"


def _served(settings: Settings, reason: str) -> list[str]:
    return ["--repository", settings.repository, "--runs", settings.runs, "--reason", reason, "--json"]


def _published(answer: Any) -> dict[str, Any]:
    size = sum(each["size"] for each in answer["files"].values())
    return {"version": answer["version"], "precision": answer["precision"], "bytes": size}


def _champion(answer: Any) -> dict[str, Any]:
    return {"champion": answer["champion"], "notes": [note[:LONGEST_REASON] for note in answer["notes"]]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
