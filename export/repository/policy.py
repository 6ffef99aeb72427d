"""Which versions Triton serves: the version policy of config.pbtxt, through Triton's own protobuf messages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.errors import RepositoryError

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2 as pb

CONFIG = "config.pbtxt"


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


def label_files(config: "pb.ModelConfig") -> list[str]:
    """Returns the names of the files with the names of classes, which lie beside config.pbtxt."""
    return sorted({output.label_filename for output in config.output if output.label_filename})
