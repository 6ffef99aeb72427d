"""Runs what a rendered container would run, as a process of this machine: its command, arguments and variables."""

import os
import re
import sys
from collections.abc import Mapping

from tests.helm.helm_chart import Object

SIGNS = [sys.executable, "-c", "from clients.command.main import main; main()"]


def environment_of(each: Object, secrets: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a container; those from Secrets have the values given by name of the variable."""
    return {variable["name"]: variable.get("value", secrets.get(variable["name"], "")) for variable in each["env"]}


def command_of(each: Object, places: Mapping[str, object], secrets: Mapping[str, str] | None = None) -> list[str]:
    """Returns command and arguments of a container as the kubelet would start them; what the image's entrypoint does
    before is not there.

    Args:
        each: the container.
        places: what stands on this machine in place of a path or a number at the beginning or after "=": where a
            volume is mounted, a port.
        secrets: values of the variables that come from Secrets; $(NAME) in the arguments is replaced by them.
    """
    variables = environment_of(each, secrets or {})

    def expanded(text: str) -> str:
        text = re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], text)
        for there, here in places.items():
            text = re.sub(rf"(^|=){re.escape(there)}(?=/|$)", rf"\g<1>{here}", text)
        return text

    if each.get("command") == ["signs"]:
        return [*SIGNS, *map(expanded, each["args"])]
    return [expanded(text) for text in [*each.get("command", []), *each.get("args", [])]]


def process_environment(each: Object, home: object, secrets: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns the environment of such a process: this machine's, with the container's over it and a home of its own."""
    return {**os.environ, **environment_of(each, secrets or {}), "HOME": str(home)}
