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

    manifest = export_checkpoint(checkpoint, repository, real_samples(load_info(checkpoint), data))
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
    reference: Annotated[
        str,
        typer.Option(help="gtsdb=PATH: measure its scenes, for `signs monitor drift` to compare.", show_default=False),
    ] = "",
    split: Annotated[str, typer.Option(help="With --reference: test or train.")] = "test",
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Publish the recognizer: photographs in, boxes and names of signs out.

    It calls the detector and the classifier of the same repository, in the form they have there now; publish it
    again when their input sizes change. Its sources and their checksums are the new version.

    \b
    signs export recognizer
    signs export recognizer --repository other --score-threshold 0.5
    signs export recognizer --reference gtsdb=FullIJCNN2013.zip
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from export.recognizer import export_recognizer
    from training.data.load import load_data
    from training.data.records import SPLITS
    from training.progress import progress_bars

    splits = {str(each): each for each in SPLITS}
    if split not in splits:
        raise typer.BadParameter(f"{split!r}: choose test or train", param_hint="--split")
    scenes = load_data(reference) if reference else None
    with progress_bars(Console(stderr=True)) as progress:
        manifest = export_recognizer(repository, score_threshold, scenes, splits[split], progress)
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    typer.echo(
        f"published: {repository / manifest.model / str(manifest.version)}\n"
        + ("" if scenes else "no reference for drift: give one with --reference gtsdb=PATH\n")
        + "next: signs serve, then signs predict PHOTO --annotate DIR"
    )
