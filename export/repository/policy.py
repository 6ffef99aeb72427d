"""What a config.pbtxt says to the repository: which versions Triton serves, and which files it reads beside them.

Through Triton's own protobuf messages.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.errors import RepositoryError
from export.repository.manifest import stays_inside

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

CONFIG = "config.pbtxt"
WARM_UP = "warmup"  # the folder beside the versions in which Triton looks for the data of its warm-up


def read_config(content: bytes, where: str) -> "pb.ModelConfig":
    """Reads the content of a config.pbtxt.

    Args:
        content: of the file.
        where: it lies, for messages.

    Raises:
        RepositoryError: it is not a model configuration.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    try:
        return text_format.Parse(content.decode(), pb.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise RepositoryError(f"{where} cannot be read: {error}") from error


def to_bytes(config: "pb.ModelConfig") -> bytes:
    """Returns the content of a config.pbtxt."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(config)
    return text.encode()


def pinned(config: "pb.ModelConfig", versions: Sequence[int]) -> "pb.ModelConfig":
    """Returns the configuration with a policy that serves exactly these versions."""
    from tritonclient.grpc import model_config_pb2 as pb

    policy = pb.ModelVersionPolicy(specific=pb.ModelVersionPolicy.Specific(versions=sorted(versions)))
    copy = pb.ModelConfig()
    copy.CopyFrom(config)
    copy.version_policy.CopyFrom(policy)
    return copy


def without_policy(config: "pb.ModelConfig") -> "pb.ModelConfig":
    """Returns the configuration without its version policy: what must be alike for versions served together."""
    from tritonclient.grpc import model_config_pb2 as pb

    copy = pb.ModelConfig()
    copy.CopyFrom(config)
    copy.ClearField("version_policy")
    return copy


def served(config: "pb.ModelConfig", present: Sequence[int]) -> list[int]:
    """Returns the versions that Triton serves out of those that are there, oldest first."""
    choice = config.version_policy.WhichOneof("policy_choice")
    if choice == "all":
        return sorted(present)
    if choice == "specific":
        return sorted(set(present) & set(config.version_policy.specific.versions))
    newest = config.version_policy.latest.num_versions if choice == "latest" else 1
    return sorted(present)[-max(newest, 1) :]


def companions(config: "pb.ModelConfig") -> list[str]:
    """Returns the paths of the files that Triton reads beside config.pbtxt: names of classes, data of the warm-up.

    Raises:
        RepositoryError: one would lie outside the folder of the model.
    """
    labels = {output.label_filename for output in config.output} - {""}
    inputs = (entry for warm_up in config.model_warmup for entry in warm_up.inputs.values())
    samples = {entry.input_data_file for entry in inputs} - {""}
    for name in (*labels, *samples):
        if not stays_inside(name):
            raise RepositoryError(f"{CONFIG} of {config.name} names the file {name!r}: give a name inside its folder")
    return sorted(labels | {f"{WARM_UP}/{name}" for name in samples})
