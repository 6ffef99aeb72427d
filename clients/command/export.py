"""`signs export`: the command line of export."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.command.export_serving import config, engine
from clients.command.gate import gate
from clients.command.tune import tune
from export.settings import PrecisionRequest, ServingOverrides
from traffic_signs.options import with_options
from traffic_signs.settings import Repository
from training.data.records import Split

if TYPE_CHECKING:
    from export.precision_search import Candidate

app = typer.Typer(no_args_is_help=True, help="Publish models in the repository that Triton serves.")


@app.command("onnx")
@with_options
def onnx_(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint, as `signs train` printed it.")],
    wanted: PrecisionRequest,
    overrides: ServingOverrides,
    repository: Repository = "model_repository",
    data: Annotated[
        str,
        typer.Option(
            help="gtsdb=PATH or gtsrb=PATH: prove parity on its test images, too. Other precisions than fp32 are "
            "evaluated on them, and int8 is calibrated on its training images.",
            show_default=False,
        ),
    ] = "",
    private_key: Annotated[
        Path | None, typer.Option(help="PEM file of a key: sign the version with it.", show_default=False)
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Where these weights are published in this precision, name that: to be repeated."),
    ] = False,
    other_classes: Annotated[
        bool,
        typer.Option("--other-classes", help="Publish it also where the classes in the repository have other names."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Export a network to ONNX, compare it with PyTorch and publish it as a new version.

    Parity is proved on random and extreme images, and with --data on real ones; beyond the tolerance of the precision
    nothing is published. What `signs export tune` found for the version before is kept.

    \b
    fp32  as it was trained
    fp16  half precision inside: half the size, faster on GPUs, on CPUs not
    int8  integers inside, calibrated on training images of --data: a quarter of the size, faster on CPUs with VNNI
    auto  makes all three, times them in turn, takes the fastest that is still right

    \b
    signs export onnx runs/demo/checkpoint --data gtsdb=FullIJCNN2013.zip
    signs export onnx runs/gtsrb/checkpoint --data gtsrb=GTSRB.zip --precision int8
    signs export onnx runs/gtsrb/checkpoint --data gtsrb=GTSRB.zip --precision auto --private-key release.pem
    signs export onnx runs/demo/checkpoint --target gpu --repository s3://models/signs
    """
    import json
    from dataclasses import asdict

    from clients.command.export_output import print_candidates, print_export
    from export.precision import FP32
    from export.repository.signing import load_signer
    from export.run import check_wanted, export_checkpoint, find_exported
    from export.samples import labelled_samples, real_samples
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars
    from traffic_signs.stage_metrics import recorded_stage
    from training.checkpoint import load_info

    check_wanted(wanted, bool(data))
    signer, info = load_signer(private_key), load_info(checkpoint)
    there = find_exported(checkpoint, info.model, repository, wanted.precision) if once else None
    if there is not None:
        typer.echo(json.dumps(asdict(there)) if as_json else f"published already: {info.model} {there.version}")
        return
    compared: list[dict[str, object]] = []

    def show(candidates: "Sequence[Candidate]") -> None:
        compared.extend(each.as_dict() for each in candidates)
        if not as_json:
            print_candidates(candidates)

    with progress_bars(Console(stderr=True)) as progress:
        if data and wanted.precision != FP32:
            samples, labels = labelled_samples(info, data, progress)
        else:
            samples, labels = real_samples(info, data), None
        with recorded_stage("export", info.model, lambda notice: typer.echo(f"note: {notice}", err=True)) as result:
            manifest = export_checkpoint(
                *(checkpoint, repository, samples, wanted, labels, signer, progress, show),
                asked=overrides,
                other_classes=other_classes,
            )
            result.version, result.figures = manifest.version, manifest.parity
    if as_json:
        typer.echo(json.dumps(asdict(manifest) | ({"candidates": compared} if compared else {})))
        return
    print_export(manifest, repository)


@app.command("parity")
def parity_(
    version: Annotated[Path, typer.Argument(help="Folder of a version: REPOSITORY/MODEL/N.", show_default=False)],
    checkpoint: Annotated[
        Path, typer.Option(help="Folder of the checkpoint it was exported from.", show_default=False)
    ],
    url: Annotated[
        str,
        typer.Option(help="host:port of a server's gRPC: compare what it answers, not the file.", show_default=False),
    ] = "",
    data: Annotated[
        str, typer.Option(help="gtsdb=PATH or gtsrb=PATH: compare on its test images, too.", show_default=False)
    ] = "",
    device: Annotated[str, typer.Option(help="cpu, or cuda: run the file on the GPU, without TF32.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare a version with PyTorch once more: its file in ONNX Runtime, or what a running Triton makes of it.

    Ends with code 1 where they are apart by more than the tolerance of the version's precision. PyTorch runs on the
    CPU; --device cuda needs onnxruntime-gpu.

    \b
    signs export parity model_repository/sign_classifier/3 --checkpoint runs/gtsrb/checkpoint
    signs export parity model_repository/sign_classifier/3 --checkpoint runs/gtsrb/checkpoint --url localhost:8001
    signs export parity model_repository/sign_classifier/3 --checkpoint runs/gtsrb/checkpoint --device cuda
    """
    import json

    from clients.command.export_output import describe_parity
    from export.recheck_parity import compare_version
    from export.repository.store import require_folder
    from export.samples import real_samples
    from training.checkpoint import load_info

    require_folder(version, "bring the version into one with `signs repository pull`")
    if url and device != "cpu":
        raise typer.BadParameter("a server has its own device: leave out --url", param_hint="--device")
    samples = real_samples(load_info(checkpoint), data)
    figures = compare_version(version, checkpoint, samples, url, device)
    typer.echo(json.dumps(figures) if as_json else describe_parity(figures))


@app.command("recognizer")
def recognizer_(
    repository: Annotated[Path, typer.Option(help="Triton model repository.")] = Path("model_repository"),
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest detection score that counts where a request names none.")
    ] = 0.3,
    unknown_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Class score below which a sign is answered as unknown; 0: never.",
            show_default="what the classifier's training calibrated",
        ),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(help="gtsdb=PATH: measure its scenes, for `signs monitor drift` to compare.", show_default=False),
    ] = "",
    split: Annotated[Split, typer.Option(help="With --reference: test or train.")] = "test",
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

    from export.recognizer import export_recognizer
    from export.repository.store import repository_flag, require_folder
    from traffic_signs.console import Console
    from traffic_signs.progress import progress_bars
    from training.data.load import load_data

    require_folder(repository, "export into a folder that has both models, then `signs repository publish` it there")
    scenes = load_data(reference) if reference else None
    with progress_bars(Console(stderr=True)) as progress:
        manifest = export_recognizer(repository, score_threshold, scenes, split, progress, unknown_threshold)
    if as_json:
        typer.echo(json.dumps(asdict(manifest)))
        return
    typer.echo(
        f"published: {repository / manifest.model / str(manifest.version)}\n"
        + ("" if scenes else "no reference for drift: give one with --reference gtsdb=PATH\n")
        + f"next: signs serve{repository_flag(repository, '--repository')}, then signs predict PHOTO --annotate DIR"
    )


app.command()(config)
app.command()(engine)
app.command()(gate)
app.command()(tune)
