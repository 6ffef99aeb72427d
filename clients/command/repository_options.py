"""What the commands of `signs repository` share: their options, and how a result is printed as JSON."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Repository = Annotated[str, typer.Option("--repository", "-r", help="Folder, or s3://, gs:// or az:// address.")]
Model = Annotated[str, typer.Argument(help="Name of a model, such as sign_classifier.", show_default=False)]
Version = Annotated[int, typer.Argument(min=1, help="Number of a version.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PublicKey = Annotated[
    Path | None, typer.Option(help="PEM file: every version must be signed with its private half.", show_default=False)
]
PrivateKey = Annotated[Path | None, typer.Option(help="PEM file of the key to sign with.", show_default=False)]
PlainHttp = Annotated[
    bool | None,
    typer.Option(
        "--plain-http/--no-plain-http",
        help="Speak HTTP without TLS to the registry.",
        show_default="on this machine alone",
    ),
]
OtherClasses = Annotated[
    bool, typer.Option("--other-classes", help="Also if the classes in the repository have other names.")
]
DEFAULT_REPOSITORY = "model_repository"


def print_json(content: Any) -> None:
    """Prints a result on one line."""
    typer.echo(json.dumps(content))
