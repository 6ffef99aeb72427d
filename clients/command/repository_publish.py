"""`signs repository publish` and `sign`: versions of another repository, and signatures."""

from pathlib import Path
from typing import Annotated

import typer

from clients.command.repository_options import (
    DEFAULT_REPOSITORY,
    Json,
    Model,
    OtherClasses,
    PrivateKey,
    PublicKey,
    Repository,
    Version,
    print_json,
)


def publish(
    source: Annotated[str, typer.Argument(help="REPOSITORY/MODEL/N, a folder or an address.", show_default=False)],
    repository: Repository = DEFAULT_REPOSITORY,
    number: Annotated[
        int | None, typer.Option(min=1, help="Number for the copy, higher than any before.", show_default="the next")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also if a version with the same files is there.")] = False,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="If a version with the same files is there, name that one: for a step that is repeated."
        ),
    ] = False,
    other_classes: OtherClasses = False,
    private_key: PrivateKey = None,
    public_key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Publish a copy of a version of another repository, checked, with its provenance.

    That is how a version goes from staging to production, and how a model made by hand gets its manifest.
    It is not served before it is promoted, once anything has been promoted.

    \b
    signs repository publish staging/sign_classifier/3 --repository s3://models/signs
    signs repository publish s3://staging/signs/sign_classifier/3 --public-key ci.pub --private-key release.pem
    """
    from dataclasses import asdict

    from export.repository.publishing import publish_copy
    from export.repository.signing import load_signer
    from export.repository.store import repository_flag
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    if again and once:
        raise typer.BadParameter("--again asks for another copy and --once for no other: give one of them")
    signer = load_signer(private_key)
    with progress_bars(Console(stderr=True)) as progress:
        manifest = publish_copy(
            *(source, repository, number, again, signer, public_key, progress), once=once, other_classes=other_classes
        )
    if as_json:
        print_json(asdict(manifest))
        return
    name = f"{manifest.model} {manifest.version}{repository_flag(repository)}"
    typer.echo(f"published: {repository}/{manifest.model}/{manifest.version}\nnext: signs repository promote {name}")


def sign(
    model: Model,
    version: Version,
    private_key: Annotated[Path, typer.Option(help="PEM file of the key to sign with.", show_default=False)],
    repository: Repository = DEFAULT_REPOSITORY,
) -> None:
    """Sign a version: OpenSSF model signing with an elliptic-curve key; the signature is model.sig beside the files.

    The password of an encrypted key is taken from SIGNS_KEY_PASSWORD.

    \b
    openssl ecparam -name prime256v1 -genkey -noout -out release.pem
    openssl ec -in release.pem -pubout -out release.pub
    signs repository sign sign_classifier 3 --private-key release.pem
    """
    from export.repository.publishing import sign_version
    from export.repository.signing import load_signer

    signer = load_signer(private_key)
    assert signer is not None
    sign_version(repository, model, version, signer)
    typer.echo(f"signed: {repository}/{model}/{version}")
