"""`signs check-server`: what a running server is, what it has ready, and whether it may be on a network."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

from clients.command.output import print_result
from traffic_signs.options import with_options
from traffic_signs.settings import Json, Protocol, ServerAddress, Setting


@dataclass(frozen=True)
class ServerCheck:
    """What a server says of itself."""

    url: str  # host:port
    version: str  # of tritonserver
    minimum: str  # the oldest version that is accepted
    is_safe: bool  # its version is that or a later one
    models: dict[str, str]  # that are ready, each with what runs it: `stand-in`, or the backend's own name


@with_options
def check_server(
    server: ServerAddress,
    minimum: Annotated[
        str,
        Setting(
            "Oldest version of tritonserver that passes.",
            metavar="VERSION",
            show_default="the oldest without known holes",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Show the version of a running server, its models and their backends.

    Exit codes: 0 the server may listen on a network; 1 it is too old for that, or does not answer.

    Examples:
        signs check-server
        signs check-server --url triton:8000 --protocol http --minimum 2.73
    """
    from serving.versions import MINIMUM, parse_version
    from traffic_sign_client.errors import ClientError

    oldest = parse_version(minimum) if minimum else MINIMUM
    found = examine_server(server.url, server.protocol, oldest, server.timeout)
    lines = [f"tritonserver {found.version} at {found.url}"]
    lines += [f"  {model}: {backend}" for model, backend in found.models.items()]
    print_result(found, as_json, "\n".join(lines))
    if not found.is_safe:
        raise ClientError(
            f"tritonserver {found.version} at {found.url} is older than {found.minimum}: take the server's image of "
            "this release, or keep it off every network (SECURITY.md)"
        )


def examine_server(url: str, protocol: Protocol, oldest: tuple[int, int], timeout: float = 30.0) -> ServerCheck:
    """Asks the server at host:port what it is, with a timeout in seconds; raises ClientError if it does not answer."""
    from serving.versions import is_safe

    metadata, models = asyncio.run(_ask(url, protocol, timeout))
    version = str(metadata.get("version", ""))
    return ServerCheck(url, version, ".".join(map(str, oldest)), is_safe(version, oldest), models)


async def _ask(url: str, protocol: Protocol, timeout: float) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the metadata of a server, and the backend of each of the project's models that it has ready."""
    from clients.benchmark.target import CLASSIFIER, DETECTOR, RECOGNIZER, runs_on_stand_in
    from traffic_sign_client.connection import Connection

    async with Connection(url, protocol, timeout=timeout) as connection:
        metadata = await connection.describe("metadata", "")
        models = {}
        for name in (CLASSIFIER, DETECTOR, RECOGNIZER):
            if await connection.ready(name):
                config = await connection.describe("config", name)
                models[name] = "stand-in" if runs_on_stand_in(config) else str(config.get("backend", ""))
        return metadata, models
