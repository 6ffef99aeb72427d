"""Turns steps into Airflow tasks, which run a local process or a pod, depending on SIGNS_RUN_ON."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from retraining import processes
from retraining.facts import StepError
from retraining.failure import explain
from retraining.settings import Settings
from retraining.steps import Step

log = logging.getLogger(__name__)

OWNER = "traffic-signs"
TAGS = ["traffic-signs", "mlops"]
LONGEST_PAUSE = timedelta(minutes=10)


def defaults(settings: Settings) -> dict[str, Any]:
    """Returns the default arguments of all tasks."""
    return {
        "owner": OWNER,
        "retries": 2,
        "retry_delay": timedelta(seconds=settings.retry_seconds),
        "retry_exponential_backoff": 2,
        "max_retry_delay": LONGEST_PAUSE,
        "execution_timeout": timedelta(minutes=10),
        "on_failure_callback": explain,
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


class airflow_errors:  # noqa: N801 - reads as a statement: with airflow_errors():
    """Context manager that turns a StepError into Airflow's exceptions; a final one is not retried."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, StepError):
            if error.final:
                raise AirflowFailException(str(error)) from None
            raise RuntimeError(str(error)) from None
