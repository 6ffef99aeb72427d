"""The steps of the DAGs: the `signs` command of each, its inputs from earlier steps, and its facts for later ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retraining import facts as read
from retraining.facts import Facts, StepError
from retraining.settings import Settings

# Exit codes with an answer; some commands also return a verdict by a code above 0.
DONE = frozenset({0})


@dataclass(frozen=True)
class Step:
    """One call of `signs`.

    Attributes:
        name: id of the task.
        about: description for the interface.
        advice: what to do after a failure.
        arguments: returns the command line for the settings and the facts: `params` and the facts of `needs`.
        digest: returns the step's own facts from the exit code, the output and the facts of `needs`.
        needs: steps whose facts it uses.
        answers: exit codes with an answer.
        minutes: timeout.
        retries: number of retries after a failure.
        gpu: request the GPUs.
        gate: use the image of the gate.
        skip: returns why the step is skipped; empty if it is not.
    """

    name: str
    about: str
    advice: str
    arguments: Callable[[Settings, Facts], list[str]]
    digest: Callable[[int, Any, Facts], dict[str, Any]]
    needs: tuple[str, ...] = ("plan",)
    answers: frozenset[int] = DONE
    minutes: float = 30
    retries: int = 2
    gpu: bool = False
    gate: bool = False
    skip: Callable[[Facts], str] = lambda facts: ""


def _audit(settings: Settings, facts: Facts) -> list[str]:
    plan = facts["plan"]
    specs = dict.fromkeys([*plan["data"], plan["evaluation"]])
    real = [spec for spec in specs if not spec.startswith("synthetic=")]
    return ["data", "check", *real, "--output", f"{plan['folder']}/audit", "--json"]


def _train(settings: Settings, facts: Facts) -> list[str]:
    plan, params = facts["plan"], facts["params"]
    kind = plan["model"].removeprefix("sign_")
    epochs = ["--epochs", str(params["epochs"])] if params["epochs"] else []
    data = [part for spec in plan["data"] for part in ("--data", spec)]
    name = ["--name", plan["name"], "--runs", settings.runs]
    return ["train", kind, *data, *name, *epochs, *settings.train_options, "--resume-or-skip", "--json"]


def _evaluate(settings: Settings, facts: Facts) -> list[str]:
    plan = facts["plan"]
    output = f"{plan['folder']}/evaluation"
    checkpoint = facts["train"]["checkpoint"]
    return ["evaluate", checkpoint, "--data", plan["evaluation"], "--output", output, "--json"]


def _fetch(settings: Settings, facts: Facts) -> list[str]:
    plan = facts["plan"]
    pull = ["repository", "pull", settings.repository, plan["staging"]]
    return [*pull, "--version", plan["model"], "--missing-ok", "--json"]


def _export(settings: Settings, facts: Facts) -> list[str]:
    plan, params = facts["plan"], facts["params"]
    where = ["--repository", plan["staging"], "--data", plan["evaluation"]]
    checkpoint = facts["train"]["checkpoint"]
    precision = ["--precision", params["precision"]]
    return ["export", "onnx", checkpoint, *where, *precision, *_other_classes(facts), "--if-new", "--json"]


def _parity(settings: Settings, facts: Facts) -> list[str]:
    plan = facts["plan"]
    checkpoint = facts["train"]["checkpoint"]
    return ["export", "parity", _staged(facts), "--checkpoint", checkpoint, "--data", plan["evaluation"], "--json"]


def _gate(settings: Settings, facts: Facts) -> list[str]:
    plan, champion = facts["plan"], facts["fetch_champion"]["version"]
    who = ["--repository", plan["staging"], "--challenger", str(facts["export"]["version"])]
    who += ["--champion", str(champion)] if champion else []
    where = ["--data", plan["evaluation"], "--runs", settings.runs, "--home", settings.triton]
    where += _other_classes(facts) + (["--dry-run"] if facts["params"]["dry_run"] else [])
    return ["export", "gate", plan["model"], *who, *where, *settings.gate_options, "--json"]


def _settle(settings: Settings, facts: Facts) -> list[str]:
    version = str(facts["fetch_champion"]["version"])
    reason = "served before the first retraining"
    return ["repository", "promote", facts["plan"]["model"], version, *_served(settings, reason), "--if-no-champion"]


def _publish(settings: Settings, facts: Facts) -> list[str]:
    where = ["--repository", settings.repository]
    return ["repository", "publish", _staged(facts), *where, *_other_classes(facts), "--if-new", "--json"]


def _promote(settings: Settings, facts: Facts) -> list[str]:
    plan, version = facts["plan"], str(facts["publish"]["version"])
    options = [*_served(settings, plan["reason"]), *_other_classes(facts), "--gated"]
    return ["repository", "promote", plan["model"], version, *options]


def require_in_place(facts: Facts) -> None:
    """Checks that the new version was not rolled back.

    Otherwise a step that is cleared after a rollback would roll out and watch the previous champion, and confirm the
    new version. The XComs of cleared steps stay until they run again, so the times are compared.

    Raises:
        StepError: the version was rolled back after the step `before`.
    """
    back, before = facts["roll_back"], facts["before"]
    if back and back["time"] > before["time"]:
        raise StepError(
            f"version {back['champion']} was restored after version {facts['publish']['version']} had failed: to try "
            "it again, clear the task promote and all later ones",
            final=True,
        )


def _roll_out(settings: Settings, facts: Facts) -> list[str]:
    require_in_place(facts)
    return _restore(settings, facts)


def _restore(settings: Settings, facts: Facts) -> list[str]:
    where = ["--repository", settings.repository, "--url", settings.server]
    return ["repository", "roll-out", facts["plan"]["model"], *where, "--json"]


def _watch(settings: Settings, facts: Facts) -> list[str]:
    require_in_place(facts)
    series = ["--old", settings.watch_series, "--new", settings.watch_series] if settings.watch_series else []
    since = f"{facts['before']['time']:.3f}"
    times = ["--since", since, "--for", settings.watch_for, "--window", settings.watch_window]
    return ["monitor", "watch", "--prometheus", settings.prometheus, *series, *times, "--json"]


def _roll_back(settings: Settings, facts: Facts) -> list[str]:
    version = str(facts["publish"]["version"])
    reason = f"{facts['plan']['name']} failed after its promotion"
    return ["repository", "rollback", facts["plan"]["model"], "--if-champion", version, *_served(settings, reason)]


def _alerts(settings: Settings, facts: Facts) -> list[str]:
    return ["monitor", "alerts", "--prometheus", settings.prometheus, "--label", "retrain=true", "--json"]


def _other_classes(facts: Facts) -> list[str]:
    return ["--other-classes"] if facts["params"]["other_classes"] else []


def _staged(facts: Facts) -> str:
    plan = facts["plan"]
    return f"{plan['staging']}/{plan['model']}/{facts['export']['version']}"


def _served(settings: Settings, reason: str) -> list[str]:
    return ["--repository", settings.repository, "--runs", settings.runs, "--reason", reason, "--json"]


def _no_champion(facts: Facts) -> str:
    return "" if facts["fetch_champion"]["version"] else "there is no version to promote yet"


def _unpublished(facts: Facts) -> str:
    return "" if facts["publish"] else "nothing was published, so there is nothing to roll back"


AUDIT = Step(
    "audit",
    "Reads every image and label of the training data, the feedback and the evaluation set. A broken image or label "
    "ends the run.",
    "Read the report in the run's folder (audit/audit.json), fix or remove what is broken, and start a new run.",
    _audit,
    read.audited,
    answers=frozenset({0, 1}),
    minutes=120,
    retries=1,
)
TRAIN = Step(
    "train",
    "Trains a challenger on all of the data; MLflow has its curves. A retry resumes after the last complete epoch.",
    "Read the last lines of the log: out of memory, a full disk, MLflow not reachable. Clear this task to resume.",
    _train,
    read.trained,
    minutes=24 * 60,
    gpu=True,
)
EVALUATE = Step(
    "evaluate",
    "Evaluates the trained network on the evaluation set; pictures of its mistakes are in the run's folder.",
    "Check that the evaluation set exists and is complete (SIGNS_EVALUATION), then clear this task.",
    _evaluate,
    read.evaluated,
    needs=("plan", "train"),
    minutes=120,
)
FETCH = Step(
    "fetch_champion",
    "Copies the champion into the staging repository of this run, for the comparison with the challenger.",
    "The served repository cannot be read, or its champion is damaged: run `signs repository verify`.",
    _fetch,
    read.fetched,
)
EXPORT = Step(
    "export",
    "Exports the challenger to ONNX in the requested precision, into the staging repository, which no server reads.",
    "The export differs from the trained network, or this precision loses too much: read the log, or use fp32. If the "
    "classes differ from the champion's: start a new run with the parameter `other_classes`.",
    _export,
    read.exported,
    needs=("plan", "train"),
    minutes=120,
)
PARITY = Step(
    "parity",
    "Compares the exported file with PyTorch again, on the evaluation set.",
    "The exported file and the trained network give different answers: do not publish anything of this run.",
    _parity,
    read.compared,
    needs=("plan", "train", "export"),
    retries=1,
)
GATE = Step(
    "gate",
    "Serves challenger and champion on a real Triton and compares them: accuracy, each class, latency, size.",
    "The gate could not run: read the log. A refusal is not a failure and ends the run successfully.",
    _gate,
    read.gated,
    needs=("plan", "export", "fetch_champion"),
    answers=frozenset({0, 1}),
    minutes=120,
    gate=True,
)
SETTLE = Step(
    "settle_champion",
    "Records the served version as the champion if nothing was ever promoted, so that a rollback is possible.",
    "The served repository is not writable: check its rights, then clear this task.",
    _settle,
    read.promoted,
    needs=("plan", "fetch_champion"),
    skip=_no_champion,
)
PUBLISH = Step(
    "publish",
    "Publishes the challenger in the served repository, under the next number, with its verdict. A repetition finds "
    "the published version. The served version does not change yet.",
    "The repository is not writable: check rights and space, then clear this task. No partial version is left.",
    _publish,
    read.exported,
    needs=("plan", "export"),
)
PROMOTE = Step(
    "promote",
    "Makes the new version the champion, if it passed the gate against the current one, and sets MLflow's alias.",
    "Another version became champion meanwhile: start a new run, which compares with that one.",
    _promote,
    read.promoted,
    needs=("plan", "publish"),
)
RELOAD = Step(
    "roll_out",
    "Has the server load the new champion while the old one answers, and waits until the new one is ready.",
    "The server is down or cannot load the version; the previous champion is restored. Read the server's log. To try "
    "again, clear the task promote and all later ones.",
    _roll_out,
    read.rolled_out,
    needs=("plan", "publish", "before", "roll_back"),
    retries=1,
)
WATCH = Step(
    "watch",
    "Asks Prometheus whether the new version has more failures, higher latency or lower scores than the previous one.",
    "The previous champion is restored. Compare the two versions on the dashboards. To try the new one again, clear "
    "the task promote and all later ones.",
    _watch,
    read.watched,
    needs=("plan", "publish", "before", "roll_back"),
    answers=frozenset({0, 1, 2}),
    minutes=24 * 60,
    retries=1,
)
ROLL_BACK = Step(
    "roll_back",
    "Makes the previous champion the champion again. A repetition does not roll back further.",
    "Restore the champion by hand: `signs repository rollback`.",
    _roll_back,
    read.taken_back,
    needs=("plan", "publish"),
    skip=_unpublished,
)
RESTORE = Step(
    "restore",
    "Has the server load the restored champion.",
    "The server does not answer: restart it; it then serves the restored champion.",
    _restore,
    read.restored,
)
ALERTS = Step(
    "look_for_drift",
    "Asks Prometheus which alerts with the label `retrain` are firing.",
    "Prometheus does not answer (SIGNS_PROMETHEUS): drift is not noticed until it does.",
    _alerts,
    read.alerted,
    needs=(),
    answers=frozenset({0, 1}),
    minutes=5,
)
