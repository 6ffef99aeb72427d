"""Run by Airflow's own interpreter: reads the DAGs as Airflow does, and prints what they are as JSON.

Its argument is the folder of the DAGs. It is no test; `test_dag_integrity.py` starts it.
"""

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

# This folder is called airflow too, and would be found before the package.
sys.path = [entry for entry in sys.path if entry and Path(entry).resolve() != Path(__file__).resolve().parent]

from airflow.dag_processing.dagbag import BundleDagBag  # noqa: E402
from airflow.serialization.serialized_objects import DagSerialization  # noqa: E402

# What a run has come to before each of its steps, and what the command of one has printed.
PARAMS = {"epochs": 3, "precision": "fp32", "dry_run": False, "other_classes": False, "if_unclear": "roll back"}
PLAN = {
    "name": "a",
    "folder": "runs/a",
    "staging": "runs/a/repository",
    "model": "sign_classifier",
    "data": ["gtsdb=scenes", "synthetic=20"],
    "evaluation": "gtsdb=scenes",
    "reason": "a: by hand",
}
FACTS: dict[str, Any] = {
    "plan": PLAN,
    "train": {"checkpoint": "runs/a/checkpoint"},
    "fetch_champion": {"version": 3},
    "export": {"version": 4},
    "publish": {"version": 5},
    "before": {"time": 1790000000.0, "revision": 2},
    "roll_back": None,
}
SPLITS = {"train": {"fingerprint": "f"}}
WHOLE = {"name": "gtsdb=scenes", "splits": SPLITS, "classes": [{"name": "stop"}], "broken": [], "bad_boxes": []}
BROKEN = WHOLE | {"broken": [{"image": "1.ppm", "what": "cannot be decoded"}]}
ANSWERS = {
    "audit": {
        "whole": {"answer": {"data_sets": [WHOLE]}},
        "broken": {"answer": {"data_sets": [BROKEN]}},
        "foreign": {"answer": {}},
        "none": None,
    }
}


def describe(folder: Path) -> dict[str, object]:
    """Returns errors of import, and of each DAG what the tests look at."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")
        dags = {}
        for name, dag in bag.dags.items():
            dag.check_cycle()
            dags[name] = {
                "tags": sorted(dag.tags),
                "doc": dag.doc_md or "",
                "max_active_runs": dag.max_active_runs,
                "catchup": dag.catchup,
                "schedule": type(dag.timetable).__name__,
                "params": {key: _describe_parameter(dag.params.get_param(key)) for key in dag.params},
                "serialized": len(json.dumps(DagSerialization.to_dict(dag))),
                "tasks": {task.task_id: _describe_task(task) for task in dag.tasks},
            }
    mine = [str(each.message) for each in caught if str(folder) in each.filename]
    return {"errors": bag.import_errors, "dags": dags, "warnings": mine}


def _describe_parameter(parameter: Any) -> dict[str, object]:
    return {**parameter.schema, "description": parameter.description, "default": parameter.value}


def _describe_task(task: Any) -> dict[str, object]:
    return {
        "kind": type(task).__name__,
        "owner": task.owner,
        "doc": task.doc_md or "",
        "retries": task.retries,
        "backoff": task.retry_exponential_backoff,
        "timeout": task.execution_timeout.total_seconds() if task.execution_timeout else None,
        "callbacks": len(task.on_failure_callback or []),
        "upstream": sorted(task.upstream_task_ids),
        "rule": task.trigger_rule.value,
        "outlets": [each.name for each in task.outlets],
        "pod": _run_in_pod(task) if type(task).__name__ == "SignsPod" else {},
    }


def _run_in_pod(task: Any) -> dict[str, object]:
    """Has the task of a step do all but call the cluster; returns the pod that it would start, and how it ends.

    In place of the cluster, Airflow's operator builds the pod and hands back what its sidecar would have found.
    """
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from kubernetes.client import ApiClient  # type: ignore[import-not-found]

    found: dict[str, Any] = {"ends": {}}

    def run(operator: Any, context: Any) -> Any:
        found["pod"] = ApiClient().sanitize_for_serialization(operator.build_pod_request_obj())
        return context["answer"]

    context = {"params": PARAMS, "ti": SimpleNamespace(xcom_pull=lambda task_ids: FACTS[task_ids])}
    with patch.object(KubernetesPodOperator, "execute", run):
        for name, answer in ANSWERS.get(task.task_id, {"none": None}).items():
            try:
                found["ends"][name] = task.execute(context | {"answer": answer})
            except Exception as error:  # whichever: the test says which it has to be
                found["ends"][name] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    print(json.dumps(describe(Path(sys.argv[1]))))
