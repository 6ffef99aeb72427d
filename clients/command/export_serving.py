"""`signs export config` and `signs export engine`: how a model is served, and its engine for a GPU."""

from pathlib import Path
from typing import Annotated

import typer

from clients.command.output import print_json, print_result
from export.settings import ServingOverrides
from traffic_signs.options import with_options
from traffic_signs.settings import DEFAULT_REPOSITORY, Configuration, Json, Repository, Setting


@with_options
def config(
    what: Annotated[
        str,
        Setting(
            "A model of the repository, the folder of a version, or a checkpoint.",
            metavar="MODEL|FOLDER",
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

    Examples:
        signs export config sign_classifier
        signs export config model_repository/sign_classifier/2 --json
        signs export config sign_classifier --configuration gpu
        signs export config runs/gtsrb/checkpoint --target gpu
    """
    from google.protobuf import json_format

    from export.config import to_text
    from export.config_lookup import config_of_checkpoint, find_config
    from export.explanation import explain

    if (Path(what) / "model.json").is_file():
        where = f"what `signs export onnx {what}` would write"
        found = config_of_checkpoint(Path(what), repository, overrides, configuration)
    else:
        if overrides != ServingOverrides():
            hint = "options are for a checkpoint: this is written already"
            raise typer.BadParameter(hint, param_hint="MODEL|FOLDER")
        where, found = find_config(what, repository, configuration)
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


@with_options
def engine(
    source: Annotated[
        str, Setting("A model, followed by its VERSION; or REPOSITORY/MODEL/N.", metavar="MODEL|FOLDER", argument=True)
    ],
    version: Annotated[int | None, Setting("Number of a version in ONNX.", min=1, argument=True)] = None,
    repository: Repository = DEFAULT_REPOSITORY,
    trtexec: Annotated[
        Path | None, Setting("Path of TensorRT's trtexec.", show_default="the one on the PATH or of the image")
    ] = None,
    timing_cache: Annotated[
        Path | None, Setting("File for TensorRT's timing cache.", show_default="runs/tensorrt/GPU-VERSION.cache")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compile a version for the GPU of this machine, and publish the engine as the next version of the model.

    An engine runs only on the GPU model and the TensorRT that it was built with, with the same driver or a newer one.
    Its manifest names them; on another machine `signs serve` and `signs repository pull` refuse it. Run this in the
    image that serves.

    Examples:
        signs export engine sign_classifier 3
        signs export engine s3://models/signs/sign_classifier/3
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
    print_result(
        manifest,
        as_json,
        f"published: {repository}/{manifest.model}/{manifest.version}\n"
        "next: signs evaluate it on a server, then signs repository promote "
        f"{manifest.model} {manifest.version}{repository_flag(repository)}",
    )
