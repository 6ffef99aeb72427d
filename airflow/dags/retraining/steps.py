"""Each step of the loop: which `signs` command it calls, what it takes from steps before, what it passes on.

How a stage does its work the command knows; here stands only what is called, and what is to be done when it fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retraining import facts as read
from retraining.facts import Facts, StepError
from retraining.settings import Settings

# Only some commands tell a verdict by their exit code.
DONE = frozenset({0})


def _never(facts: Facts) -> str:
    return ""


@dataclass(frozen=True)
class Step:
    """One call of `signs`.

    Attributes:
        name: of the task.
        about: what it does, for the interface.
        advice: what to do where it fails.
        arguments: makes the command line, from settings and facts: `params`, and what the steps in `needs` passed on.
        digest: makes the facts that it passes on, from exit code, what was printed, and facts.
        needs: steps that facts are taken from.
        answers: exit codes with an answer.
        minutes: after which it is ended.
        retries: how often it is repeated where it fails.
        gpu: it asks for the GPUs.
        gate: it runs in the image of the gate.
        skip: says why there is nothing to do; empty where there is.
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
    skip: Callable[[Facts], str] = _never


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
    return ["export", "onnx", checkpoint, *where, "--precision", params["precision"], "--once", "--json"]


def _parity(settings: Settings, facts: Facts) -> list[str]:
    plan = facts["plan"]
    checkpoint = facts["train"]["checkpoint"]
    return ["export", "parity", _staged(facts), "--checkpoint", checkpoint, "--data", plan["evaluation"], "--json"]


def _gate(settings: Settings, facts: Facts) -> list[str]:
    plan, champion = facts["plan"], facts["fetch_champion"]["version"]
    who = ["--repository", plan["staging"], "--challenger", str(facts["export"]["version"])]
    who += ["--champion", str(champion)] if champion else []
    where = ["--data", plan["evaluation"], "--runs", settings.runs, "--home", settings.triton]
    dry = ["--dry-run"] if facts["params"]["dry_run"] else []
    return ["export", "gate", plan["model"], *who, *where, *settings.gate_options, *dry, "--json"]


def _settle(settings: Settings, facts: Facts) -> list[str]:
    version = str(facts["fetch_champion"]["version"])
    reason = "served before the first retraining"
    return ["repository", "promote", facts["plan"]["model"], version, *_served(settings, reason), "--if-none"]


def _publish(settings: Settings, facts: Facts) -> list[str]:
    return ["repository", "publish", _staged(facts), "--repository", settings.repository, "--once", "--json"]


def _promote(settings: Settings, facts: Facts) -> list[str]:
    plan, version = facts["plan"], str(facts["publish"]["version"])
    return ["repository", "promote", plan["model"], version, *_served(settings, plan["reason"]), "--gated"]


def require_in_place(facts: Facts) -> None:
    """Checks that the new version is still to be served.

    Whoever clears a step after a rollback would have the champion before rolled out and watched, and the new version
    confirmed. XComs of steps that were cleared stay until they run again: hence the times.

    Raises:
        StepError: it was taken back since `before`.
    """
    back, before = facts["roll_back"], facts["before"]
    if back and back["time"] > before["time"]:
        raise StepError(
            f"version {back['champion']} was put back after version {facts['publish']['version']} had failed: to try "
            "it again, clear the task promote with all after it",
            final=True,
        )


def _roll_out(settings: Settings, facts: Facts) -> list[str]:
    require_in_place(facts)
    return _reload(settings, facts)


def _reload(settings: Settings, facts: Facts) -> list[str]:
    where = ["--repository", settings.repository, "--url", settings.server]
    return ["repository", "roll-out", facts["plan"]["model"], *where, "--json"]


def _watch(settings: Settings, facts: Facts) -> list[str]:
    require_in_place(facts)
    series = ["--old", settings.watch_series, "--new", settings.watch_series] if settings.watch_series else []
    times = [
        "--since",
        f"{facts['before']['time']:.3f}",
        "--for",
        settings.watch_for,
        "--window",
        settings.watch_window,
    ]
    return ["monitor", "watch", "--prometheus", settings.prometheus, *series, *times, "--json"]


def _roll_back(settings: Settings, facts: Facts) -> list[str]:
    version = str(facts["publish"]["version"])
    reason = f"{facts['plan']['name']} failed after its promotion"
    return ["repository", "rollback", facts["plan"]["model"], "--only", version, *_served(settings, reason)]


def _alerts(settings: Settings, facts: Facts) -> list[str]:
    return ["monitor", "alerts", "--prometheus", settings.prometheus, "--label", "retrain=true", "--json"]


def _staged(facts: Facts) -> str:
    plan = facts["plan"]
    return f"{plan['staging']}/{plan['model']}/{facts['export']['version']}"


def _served(settings: Settings, reason: str) -> list[str]:
    return ["--repository", settings.repository, "--runs", settings.runs, "--reason", reason, "--json"]


def _no_champion(facts: Facts) -> str:
    return "" if facts["fetch_champion"]["version"] else "there is no version yet that could be promoted"


def _unpublished(facts: Facts) -> str:
    return "" if facts["publish"] else "nothing was published, so there is nothing to take back"


AUDIT = Step(
    "audit",
    "Reads every image and label of the training data, of the feedback and of the evaluation set. Anything broken ends "
    "the run: a network would learn it.",
    "Look at the report in the run's folder (audit/audit.json), mend or remove what is broken, and start a new run.",
    _audit,
    read.audited,
    answers=frozenset({0, 1}),
    minutes=120,
    retries=1,
)
TRAIN = Step(
    "train",
    "Trains a challenger on all of the data; MLflow has its curves. Broken off, it goes on from its last whole epoch.",
    "Read the last lines of the log: no memory, a full disk, MLflow out of reach. Clear this task to go on with it.",
    _train,
    read.trained,
    needs=("plan",),
    minutes=24 * 60,
    gpu=True,
)
EVALUATE = Step(
    "evaluate",
    "Judges the trained network on the evaluation set; pictures of its mistakes are in the run's folder.",
    "Check that the evaluation set is there and whole (SIGNS_EVALUATION), then clear this task.",
    _evaluate,
    read.evaluated,
    needs=("plan", "train"),
    minutes=120,
)
FETCH = Step(
    "fetch_champion",
    "Copies the champion into the staging repository of this run, where the challenger is to meet it.",
    "The repository that is served cannot be read, or its champion is damaged: `signs repository verify`.",
    _fetch,
    read.fetched,
)
EXPORT = Step(
    "export",
    "Exports the challenger to ONNX in the precision asked for, into the staging repository: no server reads that.",
    "The export differs from the trained network, or loses too much in this precision: read the log, or take fp32.",
    _export,
    read.exported,
    needs=("plan", "train"),
    minutes=120,
)
PARITY = Step(
    "parity",
    "Compares the file that was written with PyTorch once more, on the evaluation set.",
    "The exported file does not answer as the trained network does: nothing of this run must be published.",
    _parity,
    read.compared,
    needs=("plan", "train", "export"),
    retries=1,
)
GATE = Step(
    "gate",
    "Has a real Triton serve challenger and champion side by side, and judges: accuracy, each class, latency, size.",
    "It could not be judged: read the log. A refusal is no failure, and ends the run green.",
    _gate,
    read.judged,
    needs=("plan", "export", "fetch_champion"),
    answers=frozenset({0, 1}),
    minutes=120,
    gate=True,
)
SETTLE = Step(
    "settle_champion",
    "Records what is served now as the champion, where nothing was ever promoted: so that there is a way back.",
    "The repository that is served cannot be written: check its rights, then clear this task.",
    _settle,
    read.promoted,
    needs=("plan", "fetch_champion"),
    skip=_no_champion,
)
PUBLISH = Step(
    "publish",
    "Publishes the challenger in the repository that is served, under its next number, with its verdict. Run twice, it "
    "finds what it published. Nothing is served differently yet.",
    "The repository cannot be written: check rights and space, then clear this task. It holds a whole version or none.",
    _publish,
    read.exported,
    needs=("plan", "export"),
)
PROMOTE = Step(
    "promote",
    "Makes the new version the champion, where it passed the gate against the present one; MLflow's alias follows.",
    "Another version became champion meanwhile: start a new run, so that the challenger meets that one.",
    _promote,
    read.promoted,
    needs=("plan", "publish"),
)
RELOAD = Step(
    "roll_out",
    "Has the server load the new champion while the old one answers, and waits until the new one does.",
    "The server is down or cannot load the version; the champion before is put back. Look at the server's log. To try "
    "it again, clear the task promote with all after it.",
    _roll_out,
    read.rolled_out,
    needs=("plan", "publish", "before", "roll_back"),
    retries=1,
)
WATCH = Step(
    "watch",
    "Asks Prometheus whether the new version fails more, answers more slowly or less surely than the one before.",
    "The champion before is put back. Compare the two versions on the dashboards; to try the new one again, clear the "
    "task promote with all after it.",
    _watch,
    read.watched,
    needs=("plan", "publish", "before", "roll_back"),
    answers=frozenset({0, 1, 2}),
    minutes=24 * 60,
    retries=1,
)
ROLL_BACK = Step(
    "roll_back",
    "Makes the champion before the champion again. Run twice, it goes back once.",
    "Put the champion back by hand: `signs repository rollback`.",
    _roll_back,
    read.taken_back,
    needs=("plan", "publish"),
    skip=_unpublished,
)
RESTORE = Step(
    "restore",
    "Has the server load the champion that was put back.",
    "The server does not answer: start it again, it serves the champion that was put back.",
    _reload,
    read.restored,
)
ALERTS = Step(
    "look_for_drift",
    "Asks Prometheus which alerts with the label `retrain` are firing.",
    "Prometheus does not answer (SIGNS_PROMETHEUS): drift goes unseen until it does.",
    _alerts,
    read.alerted,
    needs=(),
    answers=frozenset({0, 1}),
    minutes=5,
)
