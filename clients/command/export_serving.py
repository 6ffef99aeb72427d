"""`signs export config` and `signs export engine`: how a model is served, and its engine for a GPU."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clients.command.output import print_json
from export.errors import ExportError
from export.settings import ServingOverrides
from traffic_signs.options import with_options
from traffic_signs.settings import DEFAULT_REPOSITORY, Configuration, Json, Repository, Setting

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb


@with_options
def config(
    what: Annotated[
        str,
        Setting(
            "A model of the repository, the folder of a version, or a checkpoint.",
            metavar="MODEL_OR_FOLDER",
            argument=True,
        ),
    ],
    overrides: ServingOverrides,
    repository: Repository = DEFAULT_REPOSITORY,
    configuration: Configuration = "",
    as_json: Json = False,
) -> None:
    """Show how Triton serves a model, and why: its config.pbtxt, with a reason for every choice.

    For a checkpoint it shows what `signs export onnx` would write, and writes nothing. Without --configuration it shows
    config.pbtxt itself.

    \b
    signs export config sign_classifier
    signs export config model_repository/sign_classifier/2 --json
    signs export config sign_classifier --configuration gpu
    signs export config runs/gtsrb/checkpoint --target gpu
    """
    from google.protobuf import json_format

    from export.config import to_text
    from export.explanation import explain

    if (Path(what) / "model.json").is_file():
        where = f"what `signs export onnx {what}` would write"
        found = _of_checkpoint(Path(what), repository, overrides, configuration)
    else:
        if overrides != ServingOverrides():
            hint = "options are for a checkpoint: this is written already"
            raise typer.BadParameter(hint, param_hint="MODEL_OR_FOLDER")
        where, found = _there(what, repository, configuration)
    choices = explain(found)
    if as_json:
        values = json_format.MessageToDict(found, preserving_proto_field_name=True)
        reasons = [choice._asdict() for choice in choices]
        print_json({"where": where, "config": values, "choices": reasons})
        return
    typer.echo(f"# {where}\n{to_text(found)}")
    width = max(len(f"{choice.name} = {choice.value}") for choice in choices if len(choice.value) < 40)
    for choice in choices:
        typer.echo(f"{f'{choice.name} = {choice.value}':<{width}}  # {choice.why}")


def _of_checkpoint(
    checkpoint: Path, repository: str, overrides: ServingOverrides, configuration: str
) -> "pb.ModelConfig":
    from export.repository.configuration import require_name
    from export.repository.policy import config_path
    from export.serving_plan import choose_serving
    from training.checkpoint import load_info

    info = load_info(checkpoint)
    configs = choose_serving(repository, info.model, overrides).configs(info)
    if configuration:
        require_name({info.model: configs}, configuration)
    return configs[config_path(configuration)]


def _there(what: str, repository: str, configuration: str) -> "tuple[str, pb.ModelConfig]":
    """Returns the configuration of a version's folder, a model's folder, or a model of the repository."""
    from export.repository.manifest import check_model_name, version_number
    from export.repository.policy import CONFIG, config_path, read_config
    from export.repository.store import open_store

    name = config_path(configuration)
    # Beside it, where a version was published without its own.
    for path in (Path(what) / name, *([Path(what).parent / name] if version_number(Path(what).name) else [])):
        if path.is_file():
            return str(path), read_config(path.read_bytes(), str(path))
    if "/" in what:
        raise ExportError(
            f"{what} has no {name} and is no checkpoint: give a model, with --repository where it is, the folder of "
            "a version, or a checkpoint"
        )
    store = open_store(repository)
    where = f"{store.name}/{what}/{name}"
    try:
        return where, read_config(store.read(f"{check_model_name(what)}/{name}"), where)
    except (FileNotFoundError, NotADirectoryError) as error:
        known = [path for path in store.shared_files(what) if path != CONFIG and path.endswith(".pbtxt")]
        hint = f"it has {', '.join(known)}" if known else f"`signs repository list -r {repository}` names the models"
        raise ExportError(f"there is no {where}: {hint}") from error


@with_options
def engine(
    source: Annotated[
        str,
        Setting("A model, followed by its VERSION; or REPOSITORY/MODEL/N.", metavar="MODEL|FOLDER", argument=True),
    ],
    version: Annotated[int | None, Setting("Number of a version in ONNX.", min=1, argument=True)] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    trtexec: Annotated[
        Path | None,
        Setting("Path of TensorRT's trtexec.", show_default="the one on the PATH or of the image"),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        Setting("File for TensorRT's timing cache.", show_default="runs/tensorrt/GPU-VERSION.cache"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile a version for the GPU of this machine, and publish the engine as the next version of the model.

    An engine runs only on the GPU model and the TensorRT that it was built with, with the same driver or a newer one.
    Its manifest names them; on another machine `signs serve` and `signs repository pull` refuse it. Run this in the
    image that serves.

    \b
    signs export engine sign_classifier 3
    signs export engine model_repository/sign_classifier/3 --trtexec /usr/src/tensorrt/bin/trtexec
    """
    from export.engine import build_engine
    from export.repository.manifest import version_number
    from export.repository.publishing import split_address
    from export.repository.store import repository_flag

    if version is None:
        if version_number(Path(source).name) is None or not Path(source).parent.name:
            raise typer.BadParameter("give a model and its version, or the folder of a version", param_hint="VERSION")
        repository, source, version = split_address(source)
    manifest = build_engine(
        repository, source, version, trtexec, timing_cache, lambda what: typer.echo(what, err=as_json)
    )
    if as_json:
        print_json(manifest)
        return
    typer.echo(
        f"published: {repository}/{manifest.model}/{manifest.version}\n"
        "next: signs evaluate it on a server, then signs repository promote "
        f"{manifest.model} {manifest.version}{repository_flag(repository)}"
    )
