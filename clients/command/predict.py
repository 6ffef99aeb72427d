"""`signs predict`: finds and names the signs of photographs and videos on a running server."""

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from traffic_sign_client.connection import Protocol
from traffic_sign_client.errors import RefusedError

if TYPE_CHECKING:
    from clients.command.annotate import Copies
    from clients.command.prediction_output import Form, Result
    from traffic_sign_client.answers import Photograph
    from traffic_sign_client.client import SignClient
    from traffic_signs.pictures import Found, Picture

CROPS_AT_ONCE = 64
MANY = 10  # pictures that are worth a progress bar


def predict(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Photographs (JPEG, PNG, PPM, WebP, BMP), folders of them, patterns, videos.", show_default=False
        ),
    ] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="Number of a camera, in place of files.")] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of the camera or of each video: no more frames.", show_default="all")
    ] = None,
    url: Annotated[str, typer.Option(help="host:port of the server.")] = "localhost:8001",
    protocol: Annotated[Protocol, typer.Option(help="grpc or http; each has its own port.")] = "grpc",
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
    top: Annotated[int, typer.Option(min=1, help="With --crops: how many classes to show of each.")] = 3,
    model: Annotated[
        str,
        typer.Option(help="Name of the model.", show_default="sign_recognizer; sign_classifier with --crops"),
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="How many photographs are asked about at once.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds to wait for an answer.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a row for each sign, with a header.")] = False,
) -> None:
    """Find the traffic signs of photographs and videos and name them.

    Exit code 0: all answered. 1: a problem; a picture that cannot be read is named on standard error, and the others
    are answered. 2: wrong usage. 130: stopped, with what was answered until then.

    \b
    signs predict street.jpg
    signs predict *.jpg --annotate found --json
    signs predict photographs 'more/**/*.png' --csv > signs.csv
    signs predict drive.mp4 --annotate found
    signs predict --camera 0
    signs predict street.jpg --url triton.example:8000 --protocol http --threshold 0.5
    signs predict sign.png --crops
    """
    if bool(images) == (camera is not None):
        raise typer.BadParameter("give photographs, folders or videos, or the number of a camera with --camera")
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    if crops and (annotate is not None or threshold is not None or camera is not None):
        raise typer.BadParameter(
            "a picture of one sign is not searched: leave out --annotate, --threshold and --camera"
        )
    from clients.command.annotate import Copies
    from clients.command.prediction_output import printing
    from traffic_sign_client.client import SignClient
    from traffic_signs import pictures

    found = pictures.find(images or [])
    if crops and any(each.is_video for each in found):
        raise typer.BadParameter("a video shows more than one sign: leave out --crops")
    source = pictures.read(found, frames) if camera is None else pictures.read_camera(camera, frames)
    form: Form = "json" if as_json else "csv" if as_csv else "table" if camera is None else "lines"
    failed = False
    with (
        contextlib.nullcontext() if annotate is None else Copies(annotate) as copies,
        SignClient(
            url,
            protocol,
            (crops and model) or "sign_classifier",
            (not crops and model) or "sign_recognizer",
            timeout=timeout,
        ) as client,
        printing(form) as show,
        _progress(found, frames, form) as progress,
    ):
        if crops:
            answers = classified(source, client, top)
        else:
            answers = recognized(source, client, threshold, concurrency, copies)
        for done, answer in enumerate(answers, start=1):
            if "error" in answer:
                failed = True
                print(f"signs: {answer['image']}: {answer['error']}", file=sys.stderr)
            show(answer)
            progress(done)
    if failed:
        raise typer.Exit(1)


def recognized(
    pictures: "Iterable[Picture]",
    client: "SignClient",
    threshold: float | None,
    concurrency: int,
    copies: "Copies | None",
) -> "Iterator[Result]":
    """Finds the signs of pictures on a server, some at once.

    Args:
        pictures: read only as fast as they are answered.
        client: asks the server.
        threshold: lowest detection score that counts; the server's own where it is None.
        concurrency: how many are asked about at once.
        copies: takes copies with the signs drawn in; None for no copies.

    Yields:
        For each picture, in order, `image`, `frame` where it is one of a video, and `signs`: a list of `box` (left,
        top, right, bottom in pixels), `score`, `category`, `class_id`, `class_score` and `name`, the surest first;
        `annotated`, the copy's path, where one was asked for. For one that cannot be read `error` in place of `signs`.

    Raises:
        ClientError: the server does not answer.
        OSError: a copy cannot be written.
    """
    waiting: deque[Picture] = deque()

    def contents() -> "Iterator[Photograph]":
        for picture in pictures:
            waiting.append(picture)
            if not picture.problem:
                yield picture.content

    def unread() -> "Iterator[Result]":
        while waiting and waiting[0].problem:
            picture = waiting.popleft()
            yield {**_named(picture), "error": picture.problem}

    for answer in client.stream(contents(), threshold, concurrency):
        yield from unread()
        picture = waiting.popleft()
        if isinstance(answer, RefusedError):
            yield {**_named(picture), "error": str(answer)}
            continue
        result = {**_named(picture), "signs": [asdict(sign) for sign in answer]}
        if copies is not None:
            result["annotated"] = str(copies.add(picture, answer))
        yield result
    yield from unread()


def classified(pictures: "Iterable[Picture]", client: "SignClient", top: int) -> "Iterator[Result]":
    """Classifies pictures of one sign each on a server.

    Yields:
        For each picture, in order, `image` and `predictions`: a list of `class_id`, `name` and `score`, best first; or,
        where it cannot be read, `error`.

    Raises:
        ClientError: the server does not answer.
    """
    import numpy as np

    from traffic_signs.preprocessing import ImageError, decode, resize

    remaining = iter(pictures)
    while group := list(islice(remaining, CROPS_AT_ONCE)):
        results, decoded = [], []
        for picture in group:
            result: Result = _named(picture)
            results.append(result)
            try:
                if picture.problem:
                    result["error"] = picture.problem
                else:
                    decoded.append((result, decode(bytes(picture.content))))
            except ImageError as error:
                result["error"] = f"it cannot be read: {error}"
        if decoded:
            size = client.input_size()
            crops = np.stack([resize(image, size) for _, image in decoded])
            for (result, _), answer in zip(decoded, client.classify(crops, top), strict=True):
                result["predictions"] = [asdict(each) for each in answer]
        yield from results


def _named(picture: "Picture") -> "Result":
    return {"image": picture.name} | ({} if picture.frame is None else {"frame": picture.frame})


@contextlib.contextmanager
def _progress(found: "Sequence[Found]", frames: int | None, form: "Form") -> Iterator[Callable[[int], None]]:
    """Shows a bar of the pictures that are done, on a terminal, where they are many and no answers scroll by there."""
    from traffic_signs.console import Console
    from traffic_signs.pictures import count
    from traffic_signs.progress import progress_bars

    console = Console(stderr=True)
    scrolls = form != "table" and sys.stdout.isatty()
    total = count(found, frames) if console.is_terminal and not scrolls else 0
    if total < MANY:
        yield lambda done: None
        return
    with progress_bars(console) as bar:
        yield lambda done: bar("pictures", done, max(done, total))
