"""`signs predict`: classifies pictures of signs on a running server."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.errors import ClientError


def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures of one sign each: JPEG, PNG, PPM, WebP.")],
    url: Annotated[str, typer.Option(help="host:port of the server.")] = "localhost:8001",
    protocol: Annotated[str, typer.Option(help="grpc or http; each has its own port.")] = "grpc",
    model: Annotated[str, typer.Option(help="Name of the classifier on the server.")] = "sign_classifier",
    top: Annotated[int, typer.Option(min=1, max=43, help="How many classes to show of each.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
) -> None:
    """Say which traffic sign each picture shows.

    \b
    signs predict sign.jpg
    signs predict *.png --json
    signs predict sign.jpg --url triton.example:8000 --protocol http
    """
    if protocol not in ("grpc", "http"):
        raise typer.BadParameter(f"{protocol!r}: choose grpc or http", param_hint="--protocol")
    results = classify_files(images, url, protocol, model, top)
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        _print_table(results)


def classify_files(paths: Sequence[Path], url: str, protocol: Any, model: str, top: int) -> list[dict[str, Any]]:
    """Classifies pictures on a server.

    Returns:
        For each picture, `image` and `predictions`: a list of `class_id`, `name` and `score`, best first.

    Raises:
        ClientError: a file is not a picture, or the server does not answer; nothing was sent before all
            pictures were read.
    """
    import numpy as np

    from clients.client import SignClient
    from training.preprocessing import ImageError, decode, resize

    pictures = []
    for path in paths:
        try:
            pictures.append(decode(path.read_bytes()))
        except (OSError, ImageError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ClientError(f"{path} cannot be read: {reason}") from error
    with SignClient(url, protocol, model) as client:
        crops = np.stack([resize(picture, client.input_size) for picture in pictures])
        answers = client.classify(crops, top)
    return [
        {
            "image": str(path),
            "predictions": [{"class_id": each.class_id, "name": each.name, "score": each.score} for each in answer],
        }
        for path, answer in zip(paths, answers, strict=True)
    ]


def _print_table(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("sign", style="bold")
    table.add_column("score", justify="right")
    table.add_column("otherwise", style="dim")
    for result in results:
        best, *others = result["predictions"]
        rest = ", ".join(f"{other['name']} {other['score']:.1%}" for other in others)
        table.add_row(result["image"], f"{best['name']} ({best['class_id']})", f"{best['score']:.1%}", rest)
    Console().print(table)
