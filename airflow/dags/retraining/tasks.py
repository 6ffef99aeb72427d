"""Turns steps into Airflow tasks, which run a local process or a pod, depending on SIGNS_RUN_ON."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Context, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from retraining import processes
from retraining.errors import StepError, StepSkippedError
from retraining.failure import explain
from retraining.settings import Settings
from retraining.steps import Step, Work

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
        with airflow_errors():
            work = step.work(settings, RunFacts(get_current_context()))
            answer = processes.run([*settings.command, *next(work)], settings.home, step.answers)
            return finish(work, answer)

    return call()


class RunFacts(dict[str, Any]):
    """The run's `params`, and the facts of each step by its name, which are read from Airflow where they are needed."""

    def __init__(self, context: Context) -> None:
        super().__init__(params=dict(context["params"]))
        self._ti = context["ti"]

    def __missing__(self, name: str) -> Any:
        return self.setdefault(name, self._ti.xcom_pull(task_ids=name))


def finish(work: Work, answer: Any) -> dict[str, Any]:
    """Gives a step the output of its command; returns and logs its facts.

    Raises StepError if the result ends the run, or the output has an unexpected form.
    """
    try:
        work.send(answer)
    except StopIteration as end:
        facts: dict[str, Any] = end.value
    except (LookupError, TypeError, AttributeError) as error:
        raise StepError(
            f"unexpected output of `signs` ({error!r}): use the project and the DAGs of the same release", final=True
        ) from error
    for name, value in facts.items():
        log.info("%s: %s", name, value)
    return facts


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Turns the errors of a step in the block into Airflow's; a final one is not retried."""
    try:
        yield
    except StepSkippedError as reason:
        raise AirflowSkipException(str(reason)) from None
    except StepError as error:
        raise (AirflowFailException if error.final else RuntimeError)(str(error)) from None
