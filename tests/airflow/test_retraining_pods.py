"""The same DAG on Kubernetes, up to the very pods: there is no cluster here."""

import json
import os
import shlex
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.test_dag_integrity import MAIN, describe
from tests.airflow.unreachable_cluster import write_kubeconfig
from tests.helm.kubernetes_schemas import problems

ON_CLUSTER = {
    "SIGNS_RUN_ON": "kubernetes",
    "SIGNS_ROLL_OUT": "helm",
    "SIGNS_IMAGE": "registry.example.com/training:1",
    "SIGNS_GATE_IMAGE": "registry.example.com/gate:1",
    "SIGNS_GPUS": "2",
    "SIGNS_CLAIM": "signs-work",
    "SIGNS_ENV_SECRET": "signs-pods",
    "SIGNS_PODS_NAMESPACE": "airflow",
}
IN_PODS = {"audit", "train", "evaluate", "fetch_champion", "export", "parity", "gate", "settle_champion", "publish"}
IN_PODS |= {"promote", "watch", "roll_back"}
TRAIN = (
    "train classifier --data gtsdb=scenes --data synthetic=20 --name a --runs runs --epochs 3 --resume-or-skip --json"
)
NO_RIGHTS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    found = describe(home, KUBECONFIG=str(write_kubeconfig(home)), **ON_CLUSTER)
    assert found["errors"] == {}
    tasks: dict[str, Any] = found["dags"][MAIN]["tasks"]
    return tasks


def test_the_steps_run_in_pods_and_helm_beside_airflow(tasks: dict[str, Any]) -> None:
    assert {name for name, task in tasks.items() if task["pod"]} == IN_PODS
    assert tasks["roll_out"]["upstream"] == ["before"] and tasks["restore"]["upstream"] == ["roll_back"]


def test_the_pod_that_trains_field_by_field(tasks: dict[str, Any]) -> None:
    pod = deepcopy(tasks["train"]["pod"]["pod"])
    assert pod["metadata"].pop("name").startswith("signs-train-")
    base, sidecar = pod["spec"].pop("containers")
    assert base.pop("command")[:2] == ["sh", "-c"], "the rest is run below"
    assert {name: value for name, value in base.items() if value} == {
        "name": "base",
        "image": "registry.example.com/training:1",
        "args": ["0", *shlex.split(TRAIN)],
        "envFrom": [{"secretRef": {"name": "signs-pods"}}],
        "resources": {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "2"}},
        "securityContext": NO_RIGHTS,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"mountPath": "/airflow/xcom", "name": "xcom"},
            {"mountPath": "/srv/signs", "name": "signs"},
            {"mountPath": "/dev/shm", "name": "shared-memory"},
        ],
    }
    assert (sidecar["name"], sidecar["securityContext"]) == ("airflow-xcom-sidecar", NO_RIGHTS)
    assert {name: value for name, value in pod["spec"].items() if value or value is False} == {
        "automountServiceAccountToken": False,
        "hostNetwork": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            {"name": "xcom", "emptyDir": {}},
            {"name": "signs", "persistentVolumeClaim": {"claimName": "signs-work"}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
    }


def test_only_training_asks_for_gpus_and_only_the_gate_has_an_image_of_its_own(tasks: dict[str, Any]) -> None:
    bases = {name: tasks[name]["pod"]["pod"]["spec"]["containers"][0] for name in IN_PODS}
    assert {name for name, base in bases.items() if "resources" in base} == {"train"}
    assert {name for name, base in bases.items() if base["image"] != "registry.example.com/training:1"} == {"gate"}
    assert bases["gate"]["image"] == "registry.example.com/gate:1"


@pytest.mark.parametrize("kube", ["1.29", "1.35"])
@pytest.mark.parametrize("name", sorted(IN_PODS))
def test_each_pod_is_one_that_kubernetes_knows(tasks: dict[str, Any], name: str, kube: str) -> None:
    assert problems(tasks[name]["pod"]["pod"], kube) == []


def test_what_a_pod_hands_back_ends_its_task_as_a_process_does(tasks: dict[str, Any]) -> None:
    ends = tasks["audit"]["pod"]["ends"]
    assert ends["whole"]["data_sets"] == ["gtsdb=scenes"] and len(ends["whole"]["fingerprint"]) == 64
    assert ends["broken"].startswith("AirflowFailException") and "gtsdb=scenes: 1.ppm" in ends["broken"]
    assert ends["foreign"].startswith("AirflowFailException") and "same release" in ends["foreign"]
    assert ends["none"].startswith("RuntimeError") and "read its log" in ends["none"], "another try may find one"


@pytest.mark.parametrize(
    ("printed", "code", "left"),
    [
        ('{"a": 1}', 0, {"answer": {"a": 1}}),
        ("", 0, {"answer": None}),
        ("[2]", 1, {"answer": [2]}),  # a verdict
        ("", 1, None),  # a failure, which has no reasons
        ("[2]", 3, None),
    ],
)
def test_the_command_of_a_pod_hands_back_answers_and_fails_otherwise(
    tasks: dict[str, Any], tmp_path: Path, printed: str, code: int, left: object
) -> None:
    """Run here, with folders of this machine for those of the pod and a script for `signs`."""
    signs = tmp_path / "signs"
    signs.write_text(f"#!/bin/sh\nprintf '%s' \"$*\" > {tmp_path}/called\nprintf '%s' '{printed}'\nexit {code}\n")
    signs.chmod(0o755)
    base = tasks["gate"]["pod"]["pod"]["spec"]["containers"][0]
    shell, option, script, name = base["command"]
    script = script.replace("/airflow/xcom", f"{tmp_path}/xcom").replace("/tmp/answer", f"{tmp_path}/answer")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([shell, option, script, name, *base["args"]], env=environment, check=False, timeout=60)
    assert (tmp_path / "called").read_text().startswith("export gate sign_classifier --repository runs/a/repository")
    found = tmp_path / "xcom" / "return.json"
    assert done.returncode == (code if left is None else 0)
    assert (json.loads(found.read_text()) if found.exists() else None) == left
