"""`signs repository publish` and `sign`: versions of another repository, and signatures."""

from pathlib import Path
from typing import Annotated

import typer

from clients.command.output import print_json, print_result, progress_bars
from traffic_signs.options import with_options
from traffic_signs.settings import (
    DEFAULT_REPOSITORY,
    PRIVATE_KEY,
    IfNew,
    Json,
    Model,
    OtherClasses,
    PrivateKey,
    PublicKey,
    Repository,
    Setting,
    Version,
)


@with_options
def publish(
    source: Annotated[str, Setting("The version to copy: REPOSITORY/MODEL/N, a folder or an address.", argument=True)],
    repository: Repository = DEFAULT_REPOSITORY,
    number: Annotated[
        int | None, Setting("Number of the copy, higher than any before.", min=1, show_default="the next")
    ] = None,
    again: Annotated[bool, Setting("Also if a version with the same files is there.")] = False,
    if_new: IfNew = False,
    other_classes: OtherClasses = False,
    private_key: PrivateKey = None,
    public_key: PublicKey = None,
    as_json: Json = False,
) -> None:
    """Publish a checked copy of a version of another repository in --repository, with its provenance.

    Use it to bring a version from staging to production, or to give a model that was made by hand a manifest. Once
    a model has a champion, a new version is served only after it is promoted.

    Examples:
        signs repository publish staging/sign_classifier/3 -r s3://models/signs
        signs repository publish s3://staging/sign_classifier/3 --public-key ci.pub
    """
    from export.repository.class_names import other_classes_option
    from export.repository.promotion import champion
    from export.repository.publishing import publish_copy
    from export.repository.signing import load_signer
    from export.repository.store import open_store, repository_flag

    if again and if_new:
        raise typer.BadParameter("--again asks for another copy and --if-new for no other: give one of them")
    signer = load_signer(private_key)
    with progress_bars() as progress:
        manifest = publish_copy(
            *(source, repository, number, again, signer, public_key, progress),
            if_new=if_new,
            other_classes=other_classes,
        )
    if as_json:
        print_json(manifest)
        return
    store, model, version = open_store(repository), manifest.model, manifest.version
    flags = other_classes_option(store, model, version, champion(store, model)) + repository_flag(repository)
    typer.echo(f"published: {repository}/{model}/{version}\nnext: signs repository promote {model} {version}{flags}")


@with_options
def sign(
    model: Model,
    version: Version,
    private_key: Annotated[Path, PRIVATE_KEY],
    repository: Repository = DEFAULT_REPOSITORY,
    as_json: Json = False,
) -> None:
    """Sign a version: OpenSSF model signing with an elliptic-curve key; the signature is model.sig beside the files.

    The password of an encrypted key is read from the environment variable SIGNS_KEY_PASSWORD.

    Examples:
        openssl ecparam -name prime256v1 -genkey -noout -out release.pem
        openssl ec -in release.pem -pubout -out release.pub
        signs repository sign sign_classifier 3 --private-key release.pem
    """
    from export.repository.publishing import sign_version
    from export.repository.signing import load_signer

    signer = load_signer(private_key)
    assert signer is not None
    sign_version(repository, model, version, signer)
    print_result({"model": model, "version": version}, as_json, f"signed: {repository}/{model}/{version}")
