"""Reads in a config.pbtxt which versions Triton serves and which files it reads beside them.

Besides config.pbtxt a model may have configurations for other hardware, `configs/NAME.pbtxt`, for servers started with
--model-config-name=NAME.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from export.errors import RepositoryError
from export.repository.manifest import stays_inside

CONFIG = "config.pbtxt"
CONFIGS = "configs"  # the folder beside the versions with the configurations for other hardware
WARM_UP = "warmup"  # the folder beside the versions in which Triton looks for the data of its warm-up

ModelConfig: TypeAlias = Any  # tritonclient.grpc.model_config_pb2.ModelConfig, which is imported where it is needed
Configs = dict[str, ModelConfig]  # of a model or a version, by path, such as `configs/gpu.pbtxt`


def read_config(content: bytes, where: str) -> ModelConfig:
    """Reads the content of a config.pbtxt; raises RepositoryError if it is not a model configuration."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    try:
        return text_format.Parse(content.decode(), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise RepositoryError(f"{where} cannot be read: {error}") from error


def to_bytes(config: ModelConfig) -> bytes:
    """Returns the content of a config.pbtxt."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config)
    return text.encode()


def config_path(name: str) -> str:
    """Returns the path of the configuration of a name, in the folder of a model or of a version; "" is config.pbtxt."""
    return f"{CONFIGS}/{name}.pbtxt" if name else CONFIG


def config_paths(paths: Iterable[str]) -> list[str]:
    """Returns the configurations among the paths of a folder, config.pbtxt last, because it is written last."""
    found = [path for path in paths if path == CONFIG or PurePosixPath(path).match(f"{CONFIGS}/*.pbtxt")]
    return sorted((path for path in found if path.count("/") <= 1), key=lambda path: (path == CONFIG, path))


def pinned(config: ModelConfig, versions: Sequence[int]) -> ModelConfig:
    """Returns the configuration with a policy that serves exactly these versions."""
    copy = without_policy(config)
    copy.version_policy.specific.SetInParent()  # also if there is none to serve
    copy.version_policy.specific.versions.extend(sorted(versions))
    return copy


def without_policy(config: ModelConfig) -> ModelConfig:
    """Returns the configuration without its version policy: versions served together must agree in the rest."""
    copy = deepcopy(config)
    copy.ClearField("version_policy")
    return copy


def without_policies(configs: Configs) -> Configs:
    """Does `without_policy` for the configurations of a model, by path."""
    return {path: without_policy(config) for path, config in configs.items()}


def served(config: ModelConfig, present: Sequence[int]) -> list[int]:
    """Returns the versions that Triton serves out of those that are there, oldest first."""
    choice = config.version_policy.WhichOneof("policy_choice")
    if choice == "all":
        return sorted(present)
    if choice == "specific":
        return sorted(set(present) & set(config.version_policy.specific.versions))
    newest = config.version_policy.latest.num_versions if choice == "latest" else 1
    return sorted(present)[-max(newest, 1) :]


def companions(*configs: ModelConfig) -> list[str]:
    """Returns the paths of the files that Triton reads beside configurations of a model: labels, warm-up data."""
    labels = {output.label_filename for config in configs for output in config.output} - {""}
    warm_ups = (warm_up for config in configs for warm_up in config.model_warmup)
    samples = {entry.input_data_file for warm_up in warm_ups for entry in warm_up.inputs.values()} - {""}
    for name in (*labels, *samples):
        if not stays_inside(name):
            raise RepositoryError(
                f"{CONFIG} of {configs[0].name} names the file {name!r}: give a name inside its folder"
            )
    return sorted(labels | {f"{WARM_UP}/{name}" for name in samples})
