"""`signs predict`: finds and names the signs of photographs and videos on a running server."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clients.prediction.settings import PredictionRequest
from traffic_signs.options import with_options
from traffic_signs.settings import Json, Setting

if TYPE_CHECKING:
    from clients.command.prediction_output import Form
    from traffic_signs.pictures import Found

TOP = 3  # classes of a picture of one sign
MANY = 10  # pictures that are worth a progress bar


@with_options
def predict(
    request: PredictionRequest,
    as_json: Json = False,
    as_csv: Annotated[bool, Setting("Print a row for each sign, with a header.", flags=("--csv",))] = False,
) -> None:
    """Find and name the traffic signs in photographs and videos.

    Exit codes: 0 all pictures are answered; 1 a problem, such as a picture that cannot be read, while the others are
    answered; 2 wrong usage; 130 stopped, and the answers until then are printed.

    Examples:
        signs predict street.jpg
        signs predict *.jpg --annotate found --json
        signs predict photographs 'more/**/*.png' --csv > signs.csv
        signs predict drive.mp4 --annotate found
        signs predict --camera 0
        signs predict street.jpg --url triton:8001 --score-threshold 0.5
        signs predict sign.png --crops
    """
    if as_json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv")
    from clients.command.prediction_output import printing
    from clients.prediction.annotate import Copies
    from clients.prediction.answers import classified, recognized
    from traffic_sign_client.client import SignClient
    from traffic_signs import pictures

    camera, server, model = request.camera, request.server, request.model
    found = pictures.find(request.images)
    if request.crops and any(each.is_video for each in found):
        raise typer.BadParameter("a video shows more than one sign: leave out --crops")
    frames = request.frames
    source = pictures.read(found, frames) if camera is None else pictures.read_camera(camera, frames)
    form: Form = "json" if as_json else "csv" if as_csv else "table" if camera is None else "lines"
    models = (model, "sign_recognizer") if model and request.crops else ("sign_classifier", model or "sign_recognizer")
    failed = False
    with (
        contextlib.nullcontext() if request.annotate is None else Copies(request.annotate) as copies,
        SignClient(server.url, server.protocol, *models, timeout=server.timeout) as client,
        printing(form) as show,
        _progress(found, frames, form) as progress,
    ):
        if request.crops:
            answers = classified(source, client, request.top or TOP)
        else:
            answers = recognized(source, client, request.score_threshold, request.concurrency, copies)
        for done, answer in enumerate(answers, start=1):
            if "error" in answer:
                failed = True
                print(f"signs: {answer['image']}: {answer['error']}", file=sys.stderr)
            show(answer)
            progress(done)
    if failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _progress(found: "Sequence[Found]", frames: int | None, form: "Form") -> Iterator[Callable[[int], None]]:
    """Shows a bar of the answered pictures on a terminal, if there are many and no answers are printed there."""
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
