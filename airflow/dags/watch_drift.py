"""Starts a retraining if a drift alert fires, at most one at a time and with a cool-down between two."""

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import TriggerRule, chain, dag, get_current_context, task

from retraining import steps
from retraining.assets import DRIFT
from retraining.planning import cooling
from retraining.settings import load_settings
from retraining.tasks import dag_options, step_task

log = logging.getLogger(__name__)

SETTINGS = load_settings()
RETRAINING = "retrain_traffic_signs"
ABOUT = f"""
### Drift starts a retraining

Every ten minutes this DAG looks for firing alerts with the label `retrain: "true"` (`SignsDrift`). If there is one, it
starts `{RETRAINING}` with the alert as the reason, unless a run is active or queued, or one was started for drift in
the last {SETTINGS.cool_down_hours:g} hours.

Most runs end after `decide`; the log of that task says why.
"""


@dag(
    dag_id="watch_drift",
    dag_display_name="Watch drift",
    description="Starts a retraining if a drift alert fires",
    schedule="*/10 * * * *",
    doc_md=ABOUT,
    **dag_options(SETTINGS),
)
def watch_drift() -> None:
    """Builds the graph."""

    @task.short_circuit(inlets=[DRIFT])
    def decide() -> bool:
        """Decides whether to retrain, and logs the reason."""
        context = get_current_context()
        ti = context["ti"]
        firing = ti.xcom_pull(task_ids="look_for_drift")["firing"]
        if not firing:
            log.info("no alert asks for a retraining")
            return False
        busy = ti.get_dr_count(dag_id=RETRAINING, states=["running", "queued"])
        if busy:
            log.info("a retraining runs or waits already; alerts: %s", ", ".join(firing))
            return False
        events = context["inlet_events"][DRIFT].ascending(False).limit(1)
        last = next((event.timestamp for event in events), None)
        left = cooling(last, datetime.now(UTC), SETTINGS.cool_down_hours)
        if left is not None:
            log.info(
                "the last retraining for drift was started at %s: wait %s; alerts: %s", last, left, ", ".join(firing)
            )
            return False
        ti.xcom_push(key="reason", value=f"drift: {', '.join(firing)}"[:300])
        return True

    retrain: Any = TriggerDagRunOperator(
        task_id="retrain",
        doc_md=f"Starts `{RETRAINING}`.\n\n**If it fails:** unpause that DAG, or look whether it was renamed.",
        trigger_dag_id=RETRAINING,
        # Derived from this run, so that a repeated task does not start a second retraining.
        trigger_run_id="drift__{{ dag_run.run_after | ts_nodash }}",
        conf={"reason": "{{ ti.xcom_pull(task_ids='decide', key='reason') }}"},
        skip_when_already_exists=True,
        fail_when_dag_is_paused=True,
    )

    # A separate task: `retrain` is skipped if it is killed after starting a run, and repeated.
    @task(outlets=[DRIFT], trigger_rule=TriggerRule.NONE_FAILED)
    def note() -> None:
        """Records that a retraining was started for drift; the cool-down begins."""
        log.info("the next one for drift is started in %g hours at the earliest", SETTINGS.cool_down_hours)

    chain(step_task(steps.look_for_drift, SETTINGS), decide(), retrain, note())


watch_drift()
