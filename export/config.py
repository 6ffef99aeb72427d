"""config.pbtxt: how Triton is to serve a model, built and read through its own protobuf messages."""

from tritonclient.grpc import model_config_pb2 as pb

from export.conversion import FOUND, INPUT_NAME, OUTPUT_NAME, SCENES
from export.repository.policy import CONFIG, read_config, to_bytes

LABELS_FILE = "labels.txt"


def classifier_config(
    name: str, input_size: int, num_classes: int, max_batch: int, queue_delay_us: int = 200
) -> pb.ModelConfig:
    """Describes an ONNX classifier to Triton.

    Args:
        name: of the model.
        input_size: side of the square input in pixels.
        num_classes: length of the output.
        max_batch: largest batch that Triton may form out of waiting requests.
        queue_delay_us: how long in microseconds a request may wait for others to join its batch.
    """
    size = [input_size, input_size, 3]
    output = pb.ModelOutput(name=OUTPUT_NAME, data_type=pb.TYPE_FP32, dims=[num_classes], label_filename=LABELS_FILE)
    return _onnx_config(name, INPUT_NAME, size, [output], max_batch, queue_delay_us)


def detector_config(
    name: str, input_size: tuple[int, int], found: int, max_batch: int, queue_delay_us: int = 200
) -> pb.ModelConfig:
    """Describes an ONNX detector to Triton.

    Args:
        name: of the model.
        input_size: height and width of a scene in pixels.
        found: signs a scene.
        max_batch: largest batch that Triton may form out of waiting requests.
        queue_delay_us: how long in microseconds a request may wait for others to join its batch.
    """
    kinds = zip(FOUND, (pb.TYPE_FP32, pb.TYPE_FP32, pb.TYPE_INT32), ([found, 4], [found], [found]), strict=True)
    outputs = [pb.ModelOutput(name=output, data_type=kind, dims=dims) for output, kind, dims in kinds]
    return _onnx_config(name, SCENES, [*input_size, 3], outputs, max_batch, queue_delay_us)


def _onnx_config(
    name: str, input_name: str, size: list[int], outputs: list[pb.ModelOutput], max_batch: int, queue_delay_us: int
) -> pb.ModelConfig:
    config = pb.ModelConfig(
        name=name,
        # Means the same on the official image (its ONNX Runtime backend) and with the local stand-in.
        platform="onnxruntime_onnx",
        max_batch_size=max_batch,
        input=[pb.ModelInput(name=input_name, data_type=pb.TYPE_UINT8, dims=size)],
        output=outputs,
        version_policy=pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=1)),
        # AUTO: on the GPU where the server has one, else on the CPU.
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_AUTO, count=1)],
        dynamic_batching=pb.ModelDynamicBatching(max_queue_delay_microseconds=queue_delay_us),
    )
    # The first run of a network is slow (memory, kernels): let it happen before the server says it is ready.
    for batch in (1, max_batch):
        warm_up = pb.ModelWarmup(name=f"batch of {batch}", batch_size=batch)
        warm_up.inputs[input_name].CopyFrom(pb.ModelWarmup.Input(data_type=pb.TYPE_UINT8, dims=size, random_data=True))
        config.model_warmup.append(warm_up)
    return config


def recognizer_config(
    name: str, max_batch: int, score_threshold: float, instances: int = 2, queue_delay_us: int = 1000
) -> pb.ModelConfig:
    """Describes the recognizer, a Python model that calls the detector and the classifier, to Triton.

    Args:
        name: of the model.
        max_batch: most requests, each of one photograph, that Triton may hand over at once.
        score_threshold: lowest detection score that counts where a request names none.
        instances: processes that run it; with two, one decodes while the other waits for the detector.
        queue_delay_us: how long in microseconds a request may wait for others to join its batch.
    """
    outputs = (
        ("boxes", pb.TYPE_FP32, [-1, 4]),
        ("detection_scores", pb.TYPE_FP32, [-1]),
        ("categories", pb.TYPE_STRING, [-1]),
        ("class_ids", pb.TYPE_INT32, [-1]),
        ("class_scores", pb.TYPE_FP32, [-1]),
        ("names", pb.TYPE_STRING, [-1]),
    )
    parameters = {
        "score_threshold": f"{score_threshold:g}",
        "detector_version": "latest",
        "classifier_version": "latest",
    }
    return pb.ModelConfig(
        name=name,
        backend="python",
        max_batch_size=max_batch,
        input=[pb.ModelInput(name="image", data_type=pb.TYPE_STRING, dims=[1])],
        output=[pb.ModelOutput(name=output, data_type=kind, dims=dims) for output, kind, dims in outputs],
        version_policy=pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=1)),
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=instances)],
        dynamic_batching=pb.ModelDynamicBatching(max_queue_delay_microseconds=queue_delay_us),
        parameters={key: pb.ModelParameter(string_value=value) for key, value in parameters.items()},
    )


def to_text(config: pb.ModelConfig) -> str:
    """Returns the content of a config.pbtxt."""
    return to_bytes(config).decode()


def from_text(text: str) -> pb.ModelConfig:
    """Reads the content of a config.pbtxt.

    Raises:
        RepositoryError: it is not a model configuration.
    """
    return read_config(text.encode(), CONFIG)
