"""Configurations of classifiers as an export writes them, for tests of what is made of them."""

from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, network_config
from export.kinds import CLASSIFIER


def classifier_config(name: str, input_size: int, class_count: int, serving: Serving) -> pb.ModelConfig:
    """Describes a classifier of square crops, under a name of its own, to Triton."""
    config = network_config(CLASSIFIER, (input_size, input_size), class_count, serving)
    config.name = name
    return config
