"""Announces new labelled data when enough new entries of feedback have arrived."""

import logging
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from retraining.assets import LABELLED
from retraining.planning import entries
from retraining.settings import load_settings
from retraining.tasks import dag_options

log = logging.getLogger(__name__)

SETTINGS = load_settings()
ABOUT = f"""
### New labelled data starts a retraining

Every hour this DAG counts the new entries in the folder of feedback. From {SETTINGS.new_entries} entries on it updates
the asset `{LABELLED.name}`, which starts `retrain_traffic_signs`. Airflow's workers need access to the folder
(`SIGNS_FEEDBACK`).

Announce labelled data from other sources by `POST /api/v2/assets/events`.
"""


@dag(
    dag_id="watch_feedback",
    dag_display_name="Watch feedback",
    description="Announces new labelled data",
    schedule="@hourly",
    doc_md=ABOUT,
    **dag_options(SETTINGS),
)
def watch_feedback() -> None:
    """Builds the graph."""

    @task(inlets=[LABELLED], outlets=[LABELLED], multiple_outputs=False)
    def count() -> dict[str, Any]:
        """Counts the entries that are newer than the newest one of the last announcement."""
        context = get_current_context()
        if not SETTINGS.feedback:
            raise AirflowSkipException("SIGNS_FEEDBACK names no folder")
        events = context["inlet_events"][LABELLED].ascending(False).limit(100)
        last = next((event.extra["newest"] for event in events if (event.extra or {}).get("newest")), "")
        new = entries(SETTINGS, SETTINGS.feedback, after=last)
        log.info("%d new entries in %s since %s", len(new), SETTINGS.feedback, last or "the beginning")
        if len(new) < max(1, SETTINGS.new_entries):
            raise AirflowSkipException(f"{len(new)} new entries; a retraining waits for {SETTINGS.new_entries}")
        extra = {"newest": new[-1], "entries": len(new)}
        context["outlet_events"][LABELLED].extra = extra
        return extra

    count()


watch_feedback()
