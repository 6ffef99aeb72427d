"""`signs repository pull` and `push`: exactly the versions asked for, between repositories and registries."""

from pathlib import Path
from typing import Annotated

import typer

from clients.command.output import print_json, progress_bars
from traffic_signs.options import with_options
from traffic_signs.settings import Configuration, Json, PublicKey, Setting

Versions = Annotated[
    tuple[str, ...],
    Setting(
        "Version to transfer; MODEL alone is its champion; repeatable.",
        metavar="MODEL[=N,...]",
        show_default="the champions of all models",
        repeatable=True,
    ),
]
PlainHttp = Annotated[
    bool | None,
    Setting(
        "Use HTTP without TLS for the registry.",
        flags=("--plain-http/--no-plain-http",),
        show_default="only on this machine",
    ),
]


@with_options
def pull(
    source: Annotated[
        str,
        Setting("Repository to copy from: folder, address, oci://HOST/NAME or oci://HOST/NAME@DIGEST.", argument=True),
    ],
    target: Annotated[Path, Setting("Folder that a server will serve.", argument=True)],
    version: Versions = (),
    versions_file: Annotated[
        Path | None, Setting('JSON file in place of --version: {"MODEL": N or [N, M] or null}.')
    ] = None,
    public_key: PublicKey = None,
    any_gpu: Annotated[bool, Setting("Also engines that were built for another GPU.")] = False,
    missing_ok: Annotated[bool, Setting("Skip models that have no version in the source yet.")] = False,
    plain_http: PlainHttp = None,
    configuration: Configuration = "",
    as_json: Json = False,
) -> None:
    """Copy exactly the versions asked for into a folder, checked, with a config.pbtxt that serves only these.

    A container runs this before Triton starts. On any failure the folder stays as it was. In a registry, a digest names
    exactly one version; without a digest and a number the newest version is pulled. With --configuration, versions that
    a server with --model-config-name=NAME cannot serve correctly are refused.

    Examples:
        signs repository pull s3://models/signs /models --version sign_classifier=3
        signs repository pull oci://registry.example/models@sha256:DIGEST /models
        signs repository pull model_repository served --version sign_classifier
    """
    from export.repository.artifact import opened
    from export.repository.pull import parse_wanted
    from export.repository.pull import pull as bring

    wanted = parse_wanted(version, versions_file)
    with progress_bars() as progress, opened(source, wanted, plain_http, progress) as store:
        there = {model: numbers for model, numbers in wanted.items() if not missing_ok or store.versions(model)}
        if wanted and not there:
            print_json([]) if as_json else typer.echo(f"{source} has none of these yet: nothing was pulled")
            return
        pulled = bring(store, target, there, public_key, progress, any_gpu, configuration)
    if as_json:
        print_json(pulled)
        return
    for each in pulled:
        typer.echo(f"{'pulled' if each.fetched else 'there and whole'}: {target}/{each.model}/{each.version}")


@with_options
def push(
    source: Annotated[str, Setting("Repository to copy from: a folder or an address.", argument=True)],
    target: Annotated[str, Setting("Registry to push to: oci://HOST[:PORT]/NAME.", argument=True)],
    version: Versions = (),
    public_key: PublicKey = None,
    plain_http: PlainHttp = None,
    as_json: Json = False,
) -> None:
    """Copy versions into a registry of container images: each becomes an OCI artifact with the tag MODEL-N.

    Each version is checked first, and printed with the digest by which it is pulled; the same version always has the
    same digest. Needs the extra oci; credentials come from docker's configuration, as `docker login` writes it.

    Examples:
        signs repository push model_repository oci://registry.example/signs/models
        signs repository push served oci://host.example/s --version sign_detector=3
    """
    from export.repository.artifact import push as send
    from export.repository.pull import parse_wanted

    with progress_bars() as progress:
        pushed = send(source, target, parse_wanted(version), public_key, plain_http, progress)
    if as_json:
        print_json(pushed)
        return
    for each in pushed:
        typer.echo(f"{'pushed' if each.sent else 'there already'}: {each.model} {each.version} {each.address}")
