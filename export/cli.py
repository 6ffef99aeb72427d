"""`signs export`: the command line of export."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Publish models in the repository that Triton serves.")


@app.callback()
def _export() -> None:
    """Publish models in the repository that Triton serves."""


@app.command("onnx")
def onnx_(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint, as `signs train` printed it.")],
    repository: Annotated[Path, typer.Option(help="Triton model repository.")] = Path("model_repository"),
    data: Annotated[
        str, typer.Option(help="gtsdb=PATH or gtsrb=PATH: prove parity on its test images, too.", show_default=False)
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Export a network to ONNX, compare it with PyTorch and publish it as a new version.

    Parity is proved on random and extreme images, and with --data on real ones; beyond the tolerance nothing is
    published.

    \b
    signs export onnx runs/demo/checkpoint --data gtsdb=FullIJCNN2013.zip
    """
    import json
    from dataclasses import asdict

    from export.run import export_checkpoint
    from export.samples import real_samples
    from training.checkpoint import load_info
    from training.stage_metrics import recorded_stage

    info = load_info(checkpoint)
    with recorded_stage("export", info.model, lambda notice: typer.echo(f"note: {notice}", err=True)) as result:
        manifest = export_checkpoint(checkpoint, repository, real_samples(info, data))
        result.version, result.figures = manifest.version, manifest.parity
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    parity = manifest.parity
    typer.echo(
        f"parity: {parity['samples']:.0f} images ({parity['real_samples']:.0f} real), "
        f"largest difference {parity['max_difference']:.2g}\n"
        f"published: {repository / manifest.model / str(manifest.version)}\nnext: signs serve"
    )


@app.command("recognizer")
def recognizer_(
    repository: Annotated[Path, typer.Option(help="Triton model repository.")] = Path("model_repository"),
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest detection score that counts where a request names none.")
    ] = 0.3,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Publish the recognizer: photographs in, boxes and names of signs out.

    It calls the detector and the classifier of the same repository, in the form they have there now; publish it
    again when their input sizes change. Its sources and their checksums are the new version.

    \b
    signs export recognizer
    signs export recognizer --repository other --score-threshold 0.5
    """
    import json
    from dataclasses import asdict

    from export.recognizer import export_recognizer

    manifest = export_recognizer(repository, score_threshold)
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    typer.echo(
        f"published: {repository / manifest.model / str(manifest.version)}\n"
        "next: signs serve, then signs predict PHOTO --annotate DIR"
    )
