"""`signs robustness`: a model on corrupted pictures, and a classifier on what is no sign it knows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from training.data.records import Split


def robustness(
    model: Annotated[
        Path, typer.Argument(help="A checkpoint (PyTorch), or a version's folder or .onnx file (ONNX Runtime).")
    ],
    data: Annotated[
        str, typer.Option(help="gtsdb=PATH, or of a classifier gtsrb=PATH: a folder or zip.", show_default=False)
    ],
    background: Annotated[
        str,
        typer.Option(help="gtsdb=PATH: show a classifier crops without a sign, too.", show_default=False),
    ] = "",
    unknown_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Class score below which a sign is unknown.", show_default="that of the classifier"
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="test or train.")] = "test",
    limit: Annotated[int, typer.Option(min=0, help="Pictures of each kind to take, evenly chosen; 0: all.")] = 0,
    output: Annotated[
        Path | None, typer.Option(help="Folder for robustness.json, robustness.md and robustness.png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a classifier or a detector on corrupted pictures: nine corruptions, five strengths of each.

    Of a classifier the figure is the accuracy, of a detector the mAP50 of the benchmark's three categories. A
    classifier of the German signs is also shown drawings of others that it does not know, and with --background every
    classifier crops of scenes without a sign: how often it names them with a score above 0.9, and how often the
    unknown threshold catches them.

    \b
    signs robustness model_repository/sign_classifier/1 --data gtsrb=GTSRB --output runs/robustness
    signs robustness runs/gtsrb/checkpoint --data gtsrb=GTSRB --background gtsdb=FullIJCNN2013.zip
    signs robustness model_repository/sign_detector/1 --data gtsdb=FullIJCNN2013.zip --limit 60
    """
    from export.evaluation.robustness import as_markdown, measure_robustness
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars

    console = Console(stderr=True)
    with progress_bars(console) as progress:
        figures = measure_robustness(model, data, background, unknown_threshold, split, limit, progress, output)
    typer.echo(json.dumps(figures) if as_json else as_markdown(figures), nl=as_json)
    if output is not None and not as_json:
        typer.echo(f"look: {output}")
