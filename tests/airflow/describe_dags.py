"""Run by Airflow's own interpreter: reads the DAGs as Airflow does, and prints what they are as JSON.

Its argument is the folder of the DAGs. It is no test; `test_dag_integrity.py` starts it.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

# This folder is called airflow too, and would be found before the package.
sys.path = [entry for entry in sys.path if entry and Path(entry).resolve() != Path(__file__).resolve().parent]

from airflow.dag_processing.dagbag import BundleDagBag  # noqa: E402
from airflow.serialization.serialized_objects import DagSerialization  # noqa: E402


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
    return {**parameter.schema, "description": parameter.description}


def _describe_task(task: Any) -> dict[str, object]:
    pod = {}
    if type(task).__name__ == "SignsPod":
        task.arguments = ["0", "--help"]
        request = task.build_pod_request_obj()
        base = request.spec.containers[0]
        pod = {
            "image": base.image,
            "limits": base.resources.limits if base.resources else None,
            "command": base.command,
            "claims": [v.persistent_volume_claim.claim_name for v in request.spec.volumes if v.persistent_volume_claim],
            "secrets": [each.secret_ref.name for each in base.env_from or []],
            "namespace": request.metadata.namespace,
            "user": request.spec.security_context.get("runAsUser"),
        }
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
        "pod": pod,
    }


if __name__ == "__main__":
    print(json.dumps(describe(Path(sys.argv[1]))))
