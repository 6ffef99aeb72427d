"""`signs export`: the command line of export."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.command.export_serving import config, engine
from clients.command.gate import gate
from clients.command.output import print_json, print_note, print_result, progress_bars
from clients.command.tune import tune
from export.settings import PrecisionRequest, ServingOverrides
from traffic_signs.options import with_options
from traffic_signs.settings import (
    DATA_METAVAR,
    DEFAULT_REPOSITORY,
    SCENES,
    Data,
    Device,
    GrpcUrl,
    IfNew,
    Json,
    OtherClasses,
    PrivateKey,
    Repository,
    RepositoryFolder,
    ScoreThreshold,
    Setting,
    Split,
    UnknownThreshold,
)

if TYPE_CHECKING:
    from export.precision_search import Candidate

app = typer.Typer(no_args_is_help=True, help="Turn trained networks into versions for Triton; gate and tune them.")


@app.command("onnx")
@with_options
def onnx_(
    checkpoint: Annotated[Path, Setting("Folder of a checkpoint, as `signs train` prints it.", argument=True)],
    wanted: PrecisionRequest,
    overrides: ServingOverrides,
    repository: Repository = DEFAULT_REPOSITORY,
    data: Data = "",
    private_key: PrivateKey = None,
    if_new: IfNew = False,
    other_classes: OtherClasses = False,
    as_json: Json = False,
) -> None:
    """Export a network to ONNX, compare it with PyTorch and publish it as a new version.

    Parity is checked on random and extreme images, and with --data also on its test images; nothing is published if the
    difference exceeds the tolerance of the precision. fp16 and int8 need --data: they are evaluated on its test images,
    and int8 is calibrated on its training images. The new version keeps the serving settings that `signs export tune`
    found for the version before.

    Precisions:
        fp32  as trained
        fp16  half precision inside: half the size, faster on GPUs, not on CPUs
        int8  a second file with integers inside: a quarter of the size, for CPUs
              with VNNI or AVX2, where it is faster; servers choose by the CPU.
              --int8-for tensorrt makes one file, without fp32 beside it
        auto  measures all three and publishes the fastest that is accurate

    Examples:
        signs export onnx runs/demo/checkpoint --data gtsdb=FullIJCNN2013.zip
        signs export onnx runs/gtsrb/checkpoint --data gtsrb=GTSRB --precision int8
        signs export onnx runs/gtsrb/checkpoint --private-key release.pem
        signs export onnx runs/gtsrb/checkpoint --target gpu -r s3://models/signs
    """
    from dataclasses import asdict

    from clients.command.export_output import print_candidates, print_export
    from export.precision import FP32
    from export.repository.signing import load_signer
    from export.run import check_wanted, export_checkpoint, find_exported
    from export.samples import labelled_samples, real_samples
    from traffic_signs.stage_metrics import recorded_stage
    from training.checkpoint import load_info

    check_wanted(wanted, bool(data), overrides)
    signer, info = load_signer(private_key), load_info(checkpoint)
    there = find_exported(checkpoint, info.model, repository, wanted.precision) if if_new else None
    if there is not None:
        print_result(there, as_json, f"published already: {info.model} {there.version}")
        return
    compared: list[dict[str, object]] = []

    def show(candidates: "Sequence[Candidate]") -> None:
        compared.extend(each.as_dict() for each in candidates)
        if not as_json:
            print_candidates(candidates)

    with progress_bars() as progress:
        if data and wanted.precision != FP32:
            samples, labels = labelled_samples(info, data, progress)
        else:
            samples, labels = real_samples(info, data), None
        with recorded_stage("export", info.model, print_note) as result:
            manifest = export_checkpoint(
                *(checkpoint, repository, samples, wanted, labels, signer, progress, show),
                asked=overrides,
                other_classes=other_classes,
            )
            result.version, result.figures = manifest.version, manifest.parity
    if as_json:
        print_json(asdict(manifest) | ({"candidates": compared} if compared else {}))
        return
    print_export(manifest, repository)


@app.command("parity")
@with_options
def parity_(
    version: Annotated[Path, Setting("Folder of a version: REPOSITORY/MODEL/N.", argument=True)],
    checkpoint: Annotated[Path, Setting("Folder of the checkpoint that was exported.")],
    url: GrpcUrl = "",
    data: Data = "",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Compare a published version with PyTorch again: its file in ONNX Runtime, or the answers of a running Triton.

    --url compares a running server's answers instead of the files. --data adds its test images; the int8 file is
    compared on these only. PyTorch runs on the CPU; --device cuda needs onnxruntime-gpu.

    Exit codes: 0 the answers agree; 1 a difference exceeds the tolerance of the precision.

    Examples:
        signs export parity served/sign_detector/3 --checkpoint runs/a/checkpoint
        signs export parity served/sign_detector/3 --checkpoint new --url host:8001
    """
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
    print_result(figures, as_json, describe_parity(figures))


@app.command("recognizer")
@with_options
def recognizer_(
    repository: RepositoryFolder = Path(DEFAULT_REPOSITORY),
    score_threshold: ScoreThreshold = 0.3,
    unknown_threshold: UnknownThreshold = None,
    reference: Annotated[
        str, Setting(f"Scenes that become the reference for `signs monitor drift`: {SCENES}", metavar=DATA_METAVAR)
    ] = "",
    split: Split = "test",
    as_json: Json = False,
) -> None:
    """Publish the recognizer: photographs in, boxes and names of signs out.

    It calls the detector and the classifier of the same repository. Publish it again after a promotion of either. The
    thresholds apply to requests that name none, and --split chooses the part of --reference that is measured.

    Examples:
        signs export recognizer
        signs export recognizer --repository other --score-threshold 0.5
        signs export recognizer --reference gtsdb=FullIJCNN2013.zip
    """
    from export.recognizer import export_recognizer
    from export.repository.store import repository_flag, require_folder
    from training.data.load import load_data

    require_folder(repository, "export into a folder that has both models, then `signs repository publish` it there")
    scenes = load_data(reference) if reference else None
    with progress_bars() as progress:
        manifest = export_recognizer(repository, score_threshold, scenes, split, progress, unknown_threshold)
    print_result(
        manifest,
        as_json,
        f"published: {repository / manifest.model / str(manifest.version)}\n"
        + ("" if scenes else f"no reference for drift: give one with --reference {DATA_METAVAR}\n")
        + f"next: signs serve{repository_flag(repository)}, then signs predict PHOTO --annotate DIR",
    )


app.command()(config)
app.command()(engine)
app.command()(gate)
app.command()(tune)
