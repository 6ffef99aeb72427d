"""The roll-out on Kubernetes: `helm upgrade` with the pinned version, and `helm rollback`."""

from typing import Any

from retraining import processes
from retraining.settings import Settings

TIMEOUT = "20m"


def _status_command(settings: Settings) -> list[str]:
    return [*settings.helm, "status", settings.release, "--namespace", settings.namespace, "--output", "json"]


def upgrade_command(settings: Settings, model: str, version: int) -> list[str]:
    """Returns the command that pins a version and waits until its pods are ready."""
    upgrade = ["upgrade", settings.release, settings.chart, "--namespace", settings.namespace]
    pinned = ["--reset-then-reuse-values", "--set", f"models.versions.{model}={version}"]
    return [*settings.helm, *upgrade, *pinned, "--wait", "--timeout", TIMEOUT]


def rollback_command(settings: Settings, revision: int) -> list[str]:
    """Returns the command that brings a revision of the release back, and waits likewise."""
    rollback = ["rollback", settings.release, str(revision), "--namespace", settings.namespace]
    return [*settings.helm, *rollback, "--wait", "--timeout", TIMEOUT]


def status(settings: Settings) -> dict[str, Any]:
    """Returns the `revision` of the release, and its `state` as Helm calls it.

    Raises:
        StepError: there is no such release, or Helm cannot ask the cluster.
    """
    _, answer = processes.run(_status_command(settings), settings.home)
    return {"revision": int(answer["version"]), "state": str(answer["info"]["status"])}


def upgrade(settings: Settings, model: str, version: int, before: int) -> dict[str, Any]:
    """Pins a version of a model; what an upgrade left half done that was killed is taken back first.

    Args:
        settings: all.
        model: name of the model.
        version: its number.
        before: revision of the release to which there is a way back.

    Raises:
        StepError: the pods do not become ready in time; the release stays for `restore` to bring back.
    """
    if status(settings)["state"].startswith("pending"):
        processes.run(rollback_command(settings, before), settings.home)
    processes.run(upgrade_command(settings, model, version), settings.home)
    return {"version": version, **status(settings)}


def restore(settings: Settings, before: int) -> dict[str, Any]:
    """Brings the release back to a revision; where it is there still, nothing happens.

    Raises:
        StepError: Helm cannot do it.
    """
    now = status(settings)
    if now["revision"] != before:
        processes.run(rollback_command(settings, before), settings.home)
    return status(settings)
