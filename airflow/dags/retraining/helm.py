"""The roll-out on Kubernetes: `helm upgrade` with the pinned version, and `helm rollback`."""

from typing import Any

from retraining import processes
from retraining.settings import Settings

TIMEOUT = "20m"


def upgrade_command(settings: Settings, model: str, version: int) -> list[str]:
    """Returns the command that pins a version and waits until its pods are ready."""
    upgrade = ["upgrade", settings.release, settings.chart, "--namespace", settings.namespace]
    pinned = ["--reset-then-reuse-values", "--set", f"models.versions.{model}={version}"]
    return [*settings.helm, *upgrade, *pinned, "--wait", "--timeout", TIMEOUT]


def rollback_command(settings: Settings, revision: int) -> list[str]:
    """Returns the command that rolls back to a revision of the release and waits until its pods are ready."""
    rollback = ["rollback", settings.release, str(revision), "--namespace", settings.namespace]
    return [*settings.helm, *rollback, "--wait", "--timeout", TIMEOUT]


def status(settings: Settings) -> dict[str, Any]:
    """Returns the `revision` and the `state` of the release, as Helm reports them.

    Raises StepError if there is no such release, or Helm cannot reach the cluster.
    """
    command = [*settings.helm, "status", settings.release, "--namespace", settings.namespace, "--output", "json"]
    answer = processes.run(command, settings.home)
    return {"revision": int(answer["version"]), "state": str(answer["info"]["status"])}


def upgrade(settings: Settings, model: str, version: int, before: int) -> dict[str, Any]:
    """Pins a version of a model in the release; an interrupted upgrade is first rolled back to the revision `before`.

    Raises StepError if the pods are not ready in time; `restore` then rolls the release back.
    """
    if status(settings)["state"].startswith("pending"):
        processes.run(rollback_command(settings, before), settings.home)
    processes.run(upgrade_command(settings, model, version), settings.home)
    return {"version": version, **status(settings)}


def restore(settings: Settings, before: int) -> dict[str, Any]:
    """Rolls the release back to a revision, unless it is the current one; raises StepError if Helm fails."""
    now = status(settings)
    if now["revision"] != before:
        processes.run(rollback_command(settings, before), settings.home)
    return status(settings)
