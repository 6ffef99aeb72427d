"""`signs repository pull` and `push`: exactly the versions asked for, between repositories and registries."""

from pathlib import Path
from typing import Annotated

import typer

from clients.command.repository_options import (
    DEFAULT_REPOSITORY,
    Json,
    PlainHttp,
    PublicKey,
    Repository,
    print_json,
)


def pull(
    source: Annotated[
        str,
        typer.Argument(
            help="Repository to take from: folder or address; oci://HOST/NAME or oci://HOST/NAME@sha256:DIGEST.",
            show_default=False,
        ),
    ],
    destination: Annotated[Path, typer.Argument(help="Folder for a server to start on.", show_default=False)],
    version: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL[=N,...]", help="What to pull, repeatable; MODEL alone is its champion, nothing all of these."
        ),
    ] = None,
    versions_file: Annotated[
        Path | None, typer.Option(help='JSON instead: {"MODEL": N or [N, M] or null}.', show_default=False)
    ] = None,
    public_key: PublicKey = None,
    any_gpu: Annotated[
        bool, typer.Option("--any-gpu", help="Also engines that another GPU than this machine's is to run.")
    ] = False,
    missing_ok: Annotated[
        bool, typer.Option("--missing-ok", help="Leave out models that the source has no version of yet.")
    ] = False,
    plain_http: PlainHttp = None,
    configuration: Annotated[
        str,
        typer.Option(
            help="Refuse what a server with --model-config-name=NAME would not serve rightly, as gpu.",
            show_default=False,
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Bring exactly the versions asked for into a folder, checked, with a config.pbtxt that serves these alone.

    What a container runs before Triton starts. On any failure the folder stays as it was, and the code is 1. Of a
    registry, a digest names exactly one version; without one the newest is taken where no number is given.

    \b
    signs repository pull s3://models/signs /models --version sign_classifier=3 --public-key release.pub
    signs repository pull oci://registry.example.com/signs/models@sha256:DIGEST /models
    signs repository pull model_repository served --version sign_classifier
    """
    from dataclasses import asdict

    from export.repository.artifact import opened
    from export.repository.pull import parse_wanted
    from export.repository.pull import pull as bring
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    wanted = parse_wanted(version or [], versions_file)
    with progress_bars(Console(stderr=True)) as progress, opened(source, wanted, plain_http, progress) as store:
        there = {model: numbers for model, numbers in wanted.items() if not missing_ok or store.versions(model)}
        if wanted and not there:
            print_json([]) if as_json else typer.echo(f"{source} has none of these yet: nothing was pulled")
            return
        pulled = bring(store, destination, there, public_key, progress, any_gpu, configuration)
    if as_json:
        print_json([asdict(each) for each in pulled])
        return
    for each in pulled:
        typer.echo(f"{'pulled' if each.fetched else 'there and whole'}: {destination}/{each.model}/{each.version}")


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
    from dataclasses import asdict

    from export.repository.artifact import push as send
    from export.repository.pull import parse_wanted
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    wanted = parse_wanted(version or [])
    with progress_bars(Console(stderr=True)) as progress:
        pushed = send(repository, target, wanted, public_key, plain_http, progress)
    if as_json:
        print_json([asdict(each) for each in pushed])
        return
    for each in pushed:
        typer.echo(f"{'pushed' if each.sent else 'there already'}: {each.model} {each.version} {each.address}")
