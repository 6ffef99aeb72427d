"""Reports failed tasks: the step, the reason and the fix."""

import json
import logging
import urllib.request
from typing import Any

from retraining import steps
from retraining.settings import load_settings

log = logging.getLogger(__name__)

ADVICE = {step.name: step.advice for step in vars(steps).values() if isinstance(step, steps.Step)}
ADVICE["plan"] = ADVICE["something_new"] = (
    "Start a new run with other parameters: cleared, this one would take the same."
)
TIMEOUT_S = 10


def explain(context: Any) -> None:
    """Logs a failure and sends it to SIGNS_NOTIFY_URL if that is set; Airflow calls it with the task's context."""
    text = message(context)
    log.error("%s", text)
    url = load_settings().notify_url
    if url:
        notify(url, text)


def message(context: Any) -> str:
    """Returns the text of a failure."""
    task = context["ti"]
    why = context.get("exception") or context.get("reason") or "its process was ended from outside"
    advice = ADVICE.get(task.task_id, "Read the log above, fix the problem, and clear this task.")
    attempt = f"attempt {getattr(task, 'try_number', '?')}"
    return (
        f"{task.dag_id}: the step {task.task_id} has failed ({attempt}, run {task.run_id})\nwhy: {why}\ndo:  {advice}"
    )


def notify(url: str, text: str) -> None:
    """Posts a text; a failure is only logged."""
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            pass
    except (OSError, ValueError) as error:
        # Without the address, which may contain a secret.
        log.warning("cannot post to SIGNS_NOTIFY_URL (%s)", type(error).__name__)
