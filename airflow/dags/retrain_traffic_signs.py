"""The retraining DAG: audit, train, gate, publish, roll out, watch; roll back if the new version is worse."""

import logging
import time
from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, TriggerRule, chain, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException, AirflowTimetableInvalid

from retraining import helm, steps
from retraining.assets import LABELLED, MODELS, PUBLISHED
from retraining.parameters import parameters
from retraining.planning import make_plan, recipe, require_known, require_same_classes, verdict_lines
from retraining.settings import SettingsError, load_settings
from retraining.tasks import airflow_errors, dag_options, step_task

log = logging.getLogger(__name__)

SETTINGS = load_settings()
ABOUT = """
### Retrain, check, roll out

Each task calls one `signs` command and passes a few values to later tasks.

| | |
| --- | --- |
| **starts** | on schedule, for new labelled data (`watch_feedback`), for drift (`watch_drift`), by hand |
| **success** | a better version is served, or there was no new data, or the challenger lost (log of `keep_champion`) |
| **failed** | a step failed. Before `publish` nothing has changed; after it the previous champion was restored |

The log of a failed task says what to do. To resume after fixing the problem, clear the failed task: every step can be
repeated.
"""
SCHEDULE: Any = LABELLED
if SETTINGS.schedule:
    TIMES = CronTriggerTimetable(SETTINGS.schedule, timezone="UTC")
    try:
        TIMES.validate()  # which AssetOrTimeSchedule does not do
    except AirflowTimetableInvalid as error:
        raise SettingsError(f"SIGNS_SCHEDULE={SETTINGS.schedule}: {error}; write a cron expression") from error
    SCHEDULE = AssetOrTimeSchedule(timetable=TIMES, assets=[LABELLED])


@dag(
    dag_id="retrain_traffic_signs",
    dag_display_name="Retrain traffic signs",
    description="Audits data, trains, checks, publishes and rolls out a new version, and watches it",
    schedule=SCHEDULE,
    params=parameters(SETTINGS),
    doc_md=ABOUT,
    **dag_options(SETTINGS),
)
def retrain_traffic_signs() -> None:
    """Builds the graph."""

    @task(multiple_outputs=False)
    def plan() -> dict[str, Any]:
        """Chooses the name, the folders and the data of the run."""
        context = get_current_context()
        run = context["dag_run"]
        reason = context["params"]["reason"] or _reason(context)
        with airflow_errors():
            require_known(run.conf or {}, parameters(SETTINGS))
            made = make_plan(SETTINGS, context["params"], run.run_id, run.run_after, reason)
        for name, value in made.items():
            log.info("%s: %s", name, value)
        return made

    @task.short_circuit(inlets=list(MODELS.values()))
    def something_new() -> bool:
        """Ends the run successfully if the published version was trained on the same data with the same recipe."""
        context = get_current_context()
        plan, audit = _facts("plan", "audit")
        mark = recipe(plan, context["params"], audit["fingerprint"], SETTINGS.train_options)
        events = context["inlet_events"][MODELS[plan["model"]]].ascending(False).limit(1)
        last = next((event.extra for event in events), {})
        with airflow_errors():
            require_same_classes(last, audit["classes"], context["params"]["other_classes"])
        if last.get("recipe") != mark:
            return True
        log.info("version %s was trained on the same data with the same recipe", last.get("version"))
        if context["params"]["force"]:
            return True
        log.info("nothing is trained; set the parameter force to train anyway")
        return False

    @task.branch
    def verdict() -> str:
        """Continues with a challenger that passed the gate."""
        context = get_current_context()
        gate = context["ti"].xcom_pull(task_ids="gate")
        log.info("%s", gate["verdict"])
        return "settle_champion" if gate["passed"] and not context["params"]["dry_run"] else "keep_champion"

    @task
    def keep_champion() -> list[str]:
        """Ends the run of a challenger that lost, or a dry run, and logs the reasons; nothing was published."""
        context = get_current_context()
        plan, gate = _facts("plan", "gate")
        lines = list(verdict_lines(plan, gate, context["params"]["dry_run"]))
        for line in lines:
            log.info("%s", line)
        return lines

    @task(multiple_outputs=False)
    def before() -> dict[str, Any]:
        """Records the start of the roll-out and the Helm revision to roll back to."""
        with airflow_errors():
            revision = helm.status(SETTINGS)["revision"] if SETTINGS.roll_out == "helm" else 0
        return {"time": time.time(), "revision": revision}

    @task(outlets=[PUBLISHED])
    def confirm() -> dict[str, Any]:
        """Publishes the new version as an asset event, on which other DAGs can depend."""
        context = get_current_context()
        names = ("plan", "audit", "train", "evaluate", "gate", "publish")
        plan, audit, train, evaluate, gate, publish = _facts(*names)
        extra = {
            "model": plan["model"],
            "version": publish["version"],
            "run_id": train["run_id"],
            "data": plan["data"],
            "recipe": recipe(plan, context["params"], audit["fingerprint"], SETTINGS.train_options),
            "classes": audit["classes"],
            "figures": evaluate,
            "verdict": gate["verdict"],
        }
        context["outlet_events"][PUBLISHED].add(MODELS[plan["model"]], extra=extra)
        log.info("%s %s is served and stays", plan["model"], publish["version"])
        return extra

    def step(which: steps.Step, **options: Any) -> Any:
        return step_task(which, SETTINGS, **options)

    train, evaluate, fetch, export = map(step, (steps.train, steps.evaluate, steps.fetch_champion, steps.export))
    parity, gate, settle, promote = map(step, (steps.parity, steps.gate, steps.settle_champion, steps.promote))
    # Without any version, `settle_champion` is skipped.
    publish = step(steps.publish, trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    noted, decided, watch = before(), verdict(), step(steps.watch)
    by_helm = SETTINGS.roll_out == "helm"
    rolled_out, restored = (upgrade(), downgrade()) if by_helm else (step(steps.roll_out), step(steps.restore))
    rolled_back = step(steps.roll_back, trigger_rule=TriggerRule.ONE_FAILED)

    chain(plan(), step(steps.audit), something_new(), train, [evaluate, fetch])
    chain(fetch, export, parity)
    chain([evaluate, parity], gate, decided, [settle, keep_champion()])
    chain([settle, decided], publish, promote, noted, rolled_out, watch, confirm())
    chain([promote, noted, rolled_out, watch], rolled_back, restored)


@task(task_id="roll_out", execution_timeout=timedelta(minutes=45), multiple_outputs=False)
def upgrade() -> dict[str, Any]:
    """Upgrades the release to the new version; the old pods serve until the new ones are ready."""
    plan, publish, before, taken_back = _facts("plan", "publish", "before", "roll_back")
    with airflow_errors():
        steps.require_in_place({"before": before, "publish": publish, "roll_back": taken_back})
        return helm.upgrade(SETTINGS, plan["model"], publish["version"], before["revision"])


@task(task_id="restore", execution_timeout=timedelta(minutes=45), multiple_outputs=False)
def downgrade() -> dict[str, Any]:
    """Rolls the release back to its revision before the roll-out."""
    (before,) = _facts("before")
    if before is None:
        raise AirflowSkipException("the release was not touched")
    with airflow_errors():
        return helm.restore(SETTINGS, before["revision"])


def _facts(*names: str) -> list[Any]:
    return [get_current_context()["ti"].xcom_pull(task_ids=name) for name in names]


def _reason(context: Any) -> str:
    """Returns why a run was started, if the user gave no reason."""
    kind = str(context["dag_run"].run_type)
    if "asset" in kind:
        events = [event for found in context["triggering_asset_events"].values() for event in found]
        count = sum(int((event.extra or {}).get("entries", 0)) for event in events)
        return f"new labelled data ({count} entries of feedback)" if count else "new labelled data"
    return "on schedule" if "scheduled" in kind else "by hand"


retrain_traffic_signs()
