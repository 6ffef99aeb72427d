"""Stands in for docker, kind, kubectl and Helm, under whose names it is called: writes down each call.

Helm's upgrades are rendered by the real Helm of REAL_HELM with the same values, and fail as that does. What the cluster
would answer is put together here; WRONG names one thing in which it goes wrong. kubectl and Helm reach only the cluster
of kind's kubeconfig, and kind writes to the file THEIRS alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

CONFIG = "the kubeconfig of the cluster"
MODEL_TENSORS = {"name": "sign_classifier", "versions": ["1"]}


def kubectl(arguments: list[str], wrong: str) -> tuple[int, str]:
    """Returns exit code and answer to a call of kubectl."""
    line = " ".join(arguments)
    if "--triton-http" in line:
        return int(wrong == "a request fails"), ""
    if " test -e " in line:
        return 1, ""
    if "/v1/classify" in line:
        return 0, '{"classes": [{"class_id": 14}]}'
    if "/v2/models" in line:
        served = {**MODEL_TENSORS, "versions": ["2"]} if wrong == "the rollback changes nothing" else MODEL_TENSORS
        return 0, json.dumps(served, separators=(",", ":"))
    if line.startswith("api-resources"):
        return int(wrong == "kinds cannot be listed"), "pods\nservices"
    if line.startswith("get pods,services"):
        return 0, "pod/signs-test-grpc" if wrong == "an uninstall leaves a pod" else ""
    if line.startswith("get pods") and line.endswith("restartCount}"):
        return 0, "0 0" if wrong == "no server is killed" else "0 1"
    if line.startswith("get pods") and line.endswith("--output name"):
        return 0, "pod/one\npod/two"
    if line.startswith("get pods"):
        if wrong == "pods cannot be listed":
            return 1, ""
        return 0, "one" if wrong == "a pod does not end" else ""
    if line.startswith("create --raw"):
        return int(wrong == "a pod cannot be evicted"), ""
    return 0, ""


def helm(arguments: list[str], wrong: str) -> tuple[int, str]:
    """Returns exit code and answer to a call of Helm."""
    if arguments[0] == "version":
        return 0, "v4.1.4"
    if arguments[:2] != ["upgrade", "--install"]:
        return int(wrong == "helm test fails" and arguments[0] == "test"), ""
    given = [each for each in arguments[2:] if each != "--wait"]
    while "--timeout" in given:
        place = given.index("--timeout")
        del given[place : place + 2]
    command = [os.environ["REAL_HELM"], "template", *given, "--namespace", "signs"]
    done = subprocess.run(command, capture_output=True, text=True)
    missing = "models.versions.sign_classifier=3" in arguments and wrong != "a missing version is served"
    return int(bool(done.returncode or missing)), done.stderr if done.returncode else ""


def main() -> int:
    """Answers the call, and returns its exit code."""
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write(json.dumps([name, *arguments]) + "\n")
    if "apply" in arguments:
        sys.stdin.read()
    config = os.environ.get("KUBECONFIG", "")
    if name == "kind" and arguments[0] == "get":
        print(os.environ["CLUSTERS"] if arguments[1] == "clusters" else CONFIG)
        return 0
    if name == "kind" and arguments[0] in ("create", "delete") and config != os.environ["THEIRS"]:
        print(f"kind would write to {config}", file=sys.stderr)
        return 1
    if name in ("kubectl", "helm") and Path(config).read_text() != f"{CONFIG}\n":
        print(f"{name} would reach the cluster of {config}", file=sys.stderr)
        return 1
    answers = {"kubectl": kubectl, "helm": helm}
    code, text = answers[name](arguments, os.environ.get("WRONG", "")) if name in answers else (0, "")
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
