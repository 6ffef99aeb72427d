"""Stands in for kubectl, Helm, docker, make, curl and signs, under whose names the commands of the pages call it.

What needs a cluster is done as far as it can be without one: Helm's upgrades are rendered by the real Helm, objects are
made by the real kubectl's dry run, and what is run in a pod is run here. Each call is written to CALLS, each object to
OBJECTS; a call that would meet nothing in the cluster, or whose options are not there, fails.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

SIGNS = [sys.executable, "-c", "from clients.command.main import main; main()"]


def fail(message: str) -> int:
    """Prints why, and returns the exit code."""
    print(f"readme: {message}", file=sys.stderr)
    return 1


def objects() -> list[dict[str, object]]:
    """All objects so far."""
    path = Path(os.environ["OBJECTS"])
    return [each for each in yaml.load_all(path.read_text(), yaml.CSafeLoader) if each] if path.exists() else []


def is_there(kind: str, name: str) -> bool:
    """Says whether such an object has been made."""
    return any(each["kind"].lower() == kind and each["metadata"]["name"] == name for each in objects())  # type: ignore[attr-defined,index]


def keep(text: str) -> int:
    """Writes objects down."""
    with Path(os.environ["OBJECTS"]).open("a") as file:
        file.write(f"---\n{text}\n")
    return 0


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program, and prints what it says of an error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done


def helm(arguments: list[str]) -> int:
    """Renders an upgrade; of other commands the options must be there, and the release."""
    words = [each for place, each in enumerate(arguments) if each[0] != "-" and arguments[place - 1] != "-n"]
    command, release = words[0], words[1]
    if command not in ("upgrade", "test", "rollback", "uninstall") or release != "signs":
        return fail(f"helm {command} {release}: nothing here knows it")
    known = run(os.environ["REAL_HELM"], command, "--help").stdout
    for flag in [each.partition("=")[0] for each in arguments if each.startswith("--")]:
        if not re.search(rf"{flag}\b", known):
            return fail(f"helm {command} has no {flag}")
    if command != "upgrade":
        return 0
    dropped = ("--install", "--wait", "--timeout", "10m", "upgrade")
    done = run(os.environ["REAL_HELM"], "template", *(each for each in arguments if each not in dropped))
    return done.returncode or keep(done.stdout)


def kubectl(arguments: list[str]) -> int:
    """Makes objects by a dry run; of all else the objects must be there."""
    rest = arguments[2:] if arguments[0] == "-n" else arguments
    command, *rest = rest
    if command == "create":
        done = run(os.environ["REAL_KUBECTL"], "create", *rest, "--dry-run=client", "--output", "yaml")
        return done.returncode or keep(done.stdout)
    own = rest[: rest.index("--")] if "--" in rest else rest
    flags = [each.partition("=")[0] for each in own if each.startswith("--")]
    known = run(os.environ["REAL_KUBECTL"], command, "--help").stdout if flags else ""
    if unknown := [flag for flag in flags if not re.search(rf"{flag}\b", known)]:
        return fail(f"kubectl {command} has no {', '.join(unknown)}")
    if command == "apply":
        return keep(sys.stdin.read() if rest == ["-f", "-"] else Path(rest[-1]).read_text())
    if command == "cp":
        pod, _, target = rest[1].partition(":")
        source, folder = Path(rest[0]), Path(inside(target))
        shutil.copytree(source, folder / source.name if folder.is_dir() else folder, dirs_exist_ok=True)
        return 0 if is_there("pod", pod) else fail(f"there is no pod {pod}")
    if command == "exec":
        place = rest.index("--")
        if not is_there("pod", rest[place - 1]):
            return fail(f"there is no pod {rest[place - 1]}")
        return signs([inside(each) for each in rest[place + 2 :]])
    if command == "get" and rest[0] == "secret":
        (found,) = [each for each in objects() if each["kind"] == "Secret" and each["metadata"]["name"] == rest[1]][:1]  # type: ignore[index]
        path = re.search(r"\{\.data\.([\w-]+)\}", rest[-1])
        print(found["data"][path[1]] if path else "", end="")  # type: ignore[index]
        return 0
    named = [each for each in rest if re.fullmatch(r"(pod|service|deployment)/[\w-]+", each)]
    named += [f"namespace/{rest[1]}"] if command == "delete" and rest[0] == "namespace" else []
    lacking = [each for each in named if not is_there(*each.split("/"))]
    if lacking or command not in ("wait", "port-forward", "get", "logs", "delete"):
        return fail(f"kubectl {command}: there is no {', '.join(lacking) or command}")
    return 0


def inside(path: str) -> str:
    """Where a path of the pod's volume is here."""
    return re.sub(r"^/srv/signs", os.environ["CLAIM"], path)


def signs(arguments: list[str]) -> int:
    """Runs the real command, on the registry of this machine; of one that asks a server only the options are read."""
    arguments = [each.replace("registry.example.com", os.environ["REGISTRY"]) for each in arguments]
    more = [] if arguments[0] == "repository" or "--new-key" in arguments else ["--help"]
    done = subprocess.run([*SIGNS, *arguments, *more], stdout=subprocess.DEVNULL if more else None)
    return done.returncode


def curl(arguments: list[str]) -> int:
    """Checks that what is sent is there, and that the port is one that was forwarded."""
    files = [Path(each[1:]) for each in arguments if each.startswith("@")]
    port = re.search(r"localhost:(\d+)/", arguments[-1])
    if not all(each.is_file() for each in files) or not port:
        return fail(f"curl {arguments}")
    for _ in range(100):  # ports are forwarded in the background
        forwarded = [word for call in calls() if "port-forward" in call for word in call if re.match(r"\d", word)]
        if any(each.split(":")[0] == port[1] for each in forwarded):
            return 0
        time.sleep(0.1)
    return fail(f"nothing forwards {port[1]}")


def calls() -> list[list[str]]:
    """All calls so far."""
    return [json.loads(line) for line in Path(os.environ["CALLS"]).read_text().splitlines()]


def main() -> int:
    """Answers the call, and returns its exit code."""
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    with Path(os.environ["CALLS"]).open("a") as file:
        file.write(json.dumps([name, *arguments]) + "\n")
    if name == "make":
        return run(os.environ["REAL_MAKE"], "--dry-run", *arguments).returncode
    answers = {"helm": helm, "kubectl": kubectl, "signs": signs, "curl": curl}
    return answers[name](arguments) if name in answers else 0


if __name__ == "__main__":
    sys.exit(main())
