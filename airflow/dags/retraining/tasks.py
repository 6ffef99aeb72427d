"""Turns steps into Airflow tasks, which run a local process or a pod, depending on SIGNS_RUN_ON."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from retraining import processes
from retraining.facts import StepError
from retraining.failure import explain
from retraining.settings import Settings
from retraining.steps import Step

log = logging.getLogger(__name__)


def dag_options(settings: Settings) -> dict[str, Any]:
    """Returns what all DAGs have in common, with the default arguments of their tasks."""
    return {
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,  # two retrainings at once would compare with a champion that is about to be replaced
        "tags": ["traffic-signs", "mlops"],
        "default_args": {
            "owner": "traffic-signs",
            "retries": 2,
            "retry_delay": timedelta(seconds=settings.retry_seconds),
            "retry_exponential_backoff": 2,
            "max_retry_delay": timedelta(minutes=10),
            "execution_timeout": timedelta(minutes=10),
            "on_failure_callback": explain,
        },
    }


def step_task(step: Step, settings: Settings, **options: Any) -> Any:
    """Returns the Airflow task of a step, with additional options such as a trigger rule."""
    common = {
        "task_id": step.name,
        "doc_md": f"{step.about}\n\n**If it fails:** {step.advice}",
        "execution_timeout": timedelta(minutes=step.minutes),
        "retries": step.retries,
        **options,
    }
    if settings.run_on == "kubernetes":
        from retraining.pods import SignsPod

        return SignsPod(step=step, settings=settings, **common)

    @task(multiple_outputs=False, **common)
    def call() -> dict[str, Any]:
        facts = gather(step, get_current_context())
        with airflow_errors():
            command = [*settings.command, *step.arguments(settings, facts)]
            code, answer = processes.run(command, settings.home, step.answers)
            return digest(step, code, answer, facts)

    return call()


def gather(step: Step, context: Context) -> dict[str, Any]:
    """Returns the parameters of the run and the facts of the steps that a step needs.

    Raises:
        AirflowSkipException: the step has nothing to do.
    """
    facts = {name: context["ti"].xcom_pull(task_ids=name) for name in step.needs}
    facts["params"] = dict(context["params"])
    reason = step.skip(facts)
    if reason:
        raise AirflowSkipException(reason)
    return facts


def digest(step: Step, code: int, answer: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns and logs the facts of a step.

    Raises:
        StepError: the result ends the run, or the command's output has an unexpected form.
    """
    try:
        passed_on = step.digest(code, answer, facts)
    except (LookupError, TypeError, AttributeError) as error:
        raise StepError(
            f"unexpected output of `signs` ({error!r}): use the project and the DAGs of the same release", final=True
        ) from error
    for name, value in passed_on.items():
        log.info("%s: %s", name, value)
    return passed_on


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turns a StepError in the block into Airflow's exceptions; a final one is not retried."""
    try:
        yield
    except StepError as error:
        raise (AirflowFailException if error.final else RuntimeError)(str(error)) from None
