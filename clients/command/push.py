"""`signs repository push`: versions into a registry."""

from typing import Annotated

import typer

from clients.command.repository import DEFAULT_REPOSITORY, Json, PlainHttp, PublicKey, Repository


def push(
    target: Annotated[str, typer.Argument(help="Where to: oci://HOST[:PORT]/NAME.", show_default=False)],
    repository: Repository = DEFAULT_REPOSITORY,
    version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL[=N,...]", help="What to push, repeatable; MODEL alone is its champion, nothing all of these."
        ),
    ] = None,
    public_key: PublicKey = None,
    plain_http: PlainHttp = None,
    as_json: Json = False,
) -> None:
    """Put versions into a registry, beside the images: each an OCI artifact of its own, under the tag MODEL-N.

    Each is checked first, and printed with the digest by which it is pulled again; the same version always has the same
    one. Needs the extra oci, and takes credentials from docker's configuration, as `docker login` writes it.

    \b
    signs repository push oci://registry.example.com/signs/models --version sign_classifier=3 --public-key release.pub
    """
    import json
    from dataclasses import asdict

    from export.repository.artifact import push as send
    from export.repository.pull import parse_wanted
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    wanted = parse_wanted(version or [])
    with progress_bars(Console(stderr=True)) as progress:
        pushed = send(repository, target, wanted, public_key, plain_http, progress)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in pushed]))
        return
    for each in pushed:
        typer.echo(f"{'pushed' if each.sent else 'there already'}: {each.model} {each.version} {each.address}")
