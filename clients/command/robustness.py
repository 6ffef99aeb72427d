"""`signs robustness`: a model on corrupted pictures, and a classifier on signs that it does not know."""

import typer

from clients.command.output import print_json, progress_bars
from export.evaluation.settings import RobustnessRequest
from traffic_signs.options import with_options
from traffic_signs.settings import Json


@with_options
def robustness(request: RobustnessRequest, as_json: Json = False) -> None:
    """Measure a classifier or a detector on corrupted pictures: nine corruptions, five strengths of each.

    The figure is the accuracy of a classifier, or the mAP50 of a detector. A classifier of the German signs is also
    shown drawings of signs that it does not know, and with --background every classifier is shown crops of scenes
    without a sign: how often it names them with a score above 0.9, and how often the unknown threshold catches them, as
    it does corrupted signs. --output gets robustness.json, robustness.md and robustness.png.

    Examples:
        signs robustness model_repository/sign_classifier/1 --data gtsrb=GTSRB
        signs robustness sign.onnx --data gtsrb=GTSRB --background gtsdb=GTSDB.zip
        signs robustness model_repository/sign_detector/1 --data gtsdb=GTSDB.zip
    """
    from export.evaluation.robustness import as_markdown, measure_robustness

    with progress_bars() as progress:
        figures = measure_robustness(request, progress)
    if as_json:
        print_json(figures)
        return
    typer.echo(as_markdown(figures), nl=False)
    if request.output is not None:
        typer.echo(f"look: {request.output}")
