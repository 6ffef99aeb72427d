"""`signs export`: the command line of export."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Move a checkpoint into the model repository, with proof.")


@app.callback()
def _export() -> None:
    """Move a checkpoint into the model repository, with proof."""


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
