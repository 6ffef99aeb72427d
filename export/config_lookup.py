"""Finds the configuration that `signs export config` explains: one that exists, or one that an export would write."""

from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from export.errors import ExportError
from export.hardware_fit import LIKE_INT8, stored_name
from export.repository.configuration import require_name
from export.repository.manifest import check_model_name, version_number
from export.repository.policy import CONFIG, config_path, read_config
from export.repository.store import open_store
from export.serving_plan import choose_serving
from export.settings import ServingOverrides
from training.checkpoint import load_info


def config_of_checkpoint(
    checkpoint: Path, repository: str, overrides: ServingOverrides, configuration: str
) -> pb.ModelConfig:
    """Returns the configuration that an export of a checkpoint would write.

    Args:
        repository: of the served version, whose settings are kept if `overrides` has none.
        configuration: NAME of configs/NAME.pbtxt; empty for config.pbtxt.

    Raises:
        ExportError: it has no such configuration, or the repository cannot be read.
        training.errors.CheckpointError: the checkpoint cannot be read.
    """
    info = load_info(checkpoint)
    plan, name = choose_serving(repository, info.model, overrides), stored_name(configuration)
    configs = plan.configs(info, int8=name.startswith(LIKE_INT8))  # as with --precision int8
    if name:
        require_name({info.model: configs}, name)
    return configs[config_path(name)]


def find_config(what: str, repository: str, configuration: str) -> tuple[str, pb.ModelConfig]:
    """Returns where a configuration is, and it: of the folder of a version or model, or of a model of a repository.

    Raises ExportError if there is none, or it cannot be read; an empty `configuration` is config.pbtxt.
    """
    name = config_path(stored_name(configuration))
    # Beside it, where a version was published without its own.
    for path in (Path(what) / name, *([Path(what).parent / name] if version_number(Path(what).name) else [])):
        if path.is_file():
            return str(path), read_config(path.read_bytes(), str(path))
    if "/" in what:
        raise ExportError(
            f"{what} has no {name} and is not a checkpoint: give a model, with its --repository, the folder of "
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
