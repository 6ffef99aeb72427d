"""`signs predict`: finds and names the signs of photographs on a running server."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from clients.errors import ClientError, RefusedError


def predict(
    images: Annotated[list[Path], typer.Argument(help="Photographs: JPEG, PNG, PPM, WebP, BMP.", show_default=False)],
    url: Annotated[str, typer.Option(help="host:port of the server.")] = "localhost:8001",
    protocol: Annotated[str, typer.Option(help="grpc or http; each has its own port.")] = "grpc",
    annotate: Annotated[
        Path | None,
        typer.Option(help="Folder for copies with the signs drawn in; the originals stay.", metavar="DIR"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lowest detection score that counts.", show_default="the server's"),
    ] = None,
    crops: Annotated[
        bool, typer.Option("--crops", help="Each picture shows one sign: ask the classifier about the whole of it.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, max=43, help="With --crops: how many classes to show of each.")] = 3,
    model: Annotated[
        str,
        typer.Option(help="Name of the model.", show_default="sign_recognizer; sign_classifier with --crops"),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
) -> None:
    """Find the traffic signs of photographs and name them.

    A picture that cannot be read is named on standard error; the others are answered, and the exit code is 1.

    \b
    signs predict street.jpg
    signs predict *.jpg --annotate found --json
    signs predict street.jpg --url triton.example:8000 --protocol http --threshold 0.5
    signs predict sign.png --crops
    """
    if protocol not in ("grpc", "http"):
        raise typer.BadParameter(f"{protocol!r}: choose grpc or http", param_hint="--protocol")
    if crops:
        if annotate is not None or threshold is not None:
            raise typer.BadParameter("a picture of one sign is not searched: leave out --annotate and --threshold")
        results = classify_files(images, url, protocol, model or "sign_classifier", top)
        typer.echo(json.dumps(results, indent=2)) if as_json else _print_classes(results)
        return
    answers = recognize_files(images, url, protocol, model or "sign_recognizer", threshold, annotate)
    results = []
    try:
        for result in answers:
            if "error" in result:
                typer.echo(f"signs: {result['image']}: {result['error']}", err=True)
            results.append(result)
    finally:  # also where the server went away meanwhile: what it answered is not lost
        if results:
            typer.echo(json.dumps(results, indent=2)) if as_json else _print_signs(results)
    if any("error" in result for result in results):
        raise typer.Exit(1)


def recognize_files(
    paths: Sequence[Path], url: str, protocol: Any, model: str, threshold: float | None, annotated: Path | None
) -> Iterator[dict[str, Any]]:
    """Finds the signs of photographs on a server, one after the other.

    Args:
        paths: of the photographs.
        url: of the server, likewise `protocol` and `model`.
        threshold: lowest detection score that counts; the server's own where it is None.
        annotated: folder for copies with the signs drawn in, made where it is missing; None for no copies.

    Yields:
        For each photograph `image`, and `signs`: a list of `box` (left, top, right, bottom in pixels), `score`,
        `category`, `class_id`, `class_score` and `name`, the surest first; `annotated`, the copy's path, where one
        was asked for. For one that cannot be read `image` and `error`.

    Raises:
        ClientError: the server does not answer.
        OSError: a copy cannot be written.
    """
    from clients.annotate import write_annotated
    from clients.recognizer import RecognizerClient
    from training.preprocessing import ImageError, decode

    if annotated is not None:
        annotated.mkdir(parents=True, exist_ok=True)
    with RecognizerClient(url, protocol, model) as client:
        for path in paths:
            try:
                data = path.read_bytes()
            except OSError as error:
                yield {"image": str(path), "error": f"it cannot be read: {error.strerror}"}
                continue
            try:
                signs = client.recognize(data, threshold)
                result: dict[str, Any] = {"image": str(path), "signs": [asdict(sign) for sign in signs]}
                if annotated is not None:
                    result["annotated"] = str(write_annotated(path, decode(data), signs, annotated))
            except (RefusedError, ImageError) as error:
                yield {"image": str(path), "error": str(error)}
                continue
            yield result


def classify_files(paths: Sequence[Path], url: str, protocol: Any, model: str, top: int) -> list[dict[str, Any]]:
    """Classifies pictures of one sign each on a server.

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


def _print_signs(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("sign", style="bold")
    for column in ("score", "found", "left", "top", "right", "bottom"):
        table.add_column(column, justify="right")
    for result in results:
        image, signs = escape(result["image"]), result.get("signs", [])
        for sign in signs:
            name, box = f"{sign['name']} ({sign['class_id']})", (f"{side:.0f}" for side in sign["box"])
            table.add_row(image, name, f"{sign['class_score']:.1%}", f"{sign['score']:.1%}", *box)
        if "error" in result:
            table.add_row(image, "[red]not read[/red]")
        elif not signs:
            table.add_row(image, "[dim]no sign[/dim]")
    console = Console()
    console.print(table)
    for copy in (result["annotated"] for result in results if "annotated" in result):
        console.print(f"look: {copy}", highlight=False, markup=False, soft_wrap=True)


def _print_classes(results: list[dict[str, Any]]) -> None:
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
