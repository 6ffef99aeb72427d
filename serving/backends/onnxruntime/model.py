"""Stand-in for Triton's ONNX Runtime backend, where the real one is not installed.

Triton takes this file for the backend `onnxruntime` when there is no `libtriton_onnxruntime.so` beside it: the
wheel that brings a tritonserver without a container has the Python backend alone. It runs in the server's own
environment and imports nothing of this project. It costs 0.2 to 0.3 ms a request over the real backend, so its
latency is never to be published as the real one's.

It reads the model parameters that the real backend reads, and refuses a value that the real one refuses or passes over:
`intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`, `enable_mem_arena`, `enable_mem_pattern`; and
`optimization.graph.level`. It runs on the CPU, so what is for GPUs has no effect: those parameters, and execution
accelerators.
"""

import json
import os
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # heeded only where it is set before the import

import onnxruntime
import triton_python_backend_utils as pb_utils

# Parameters of the real backend that change nothing here.
WITHOUT_EFFECT = {
    "arena_extend_strategy",
    "cudnn_conv_algo_search",
    "do_copy_in_default_stream",
    "gpu_mem_limit",
    "memory.enable_memory_arena_shrinkage",
    "session.use_device_allocator_for_initializers",
    "share_session_between_instances",
}
BOOLEANS = {"0": False, "1": True, "false": False, "true": True}
LEVELS = {
    0: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


def session_options(config):
    """Returns what a model's configuration asks of ONNX Runtime."""
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = _count(parameters, "intra_op_thread_count")
    options.inter_op_num_threads = _count(parameters, "inter_op_thread_count")
    if _choice(parameters, "execution_mode", {"0": False, "1": True}, False):
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = _choice(parameters, "enable_mem_arena", BOOLEANS, True)
    options.enable_mem_pattern = _choice(parameters, "enable_mem_pattern", BOOLEANS, True)
    level = config.get("optimization", {}).get("graph", {}).get("level", 0)
    if level not in LEVELS:
        raise pb_utils.TritonModelException(f"optimization.graph.level is {level}: give -1, 1 or 2")
    options.graph_optimization_level = LEVELS[level]
    for key in parameters.keys() - WITHOUT_EFFECT:
        pb_utils.Logger.log_warn(f"ONNX Runtime has no parameter {key}: it has no effect")
    return options


def _count(parameters, key):
    value = parameters.pop(key, "0")
    if not value.isdecimal():
        raise pb_utils.TritonModelException(f"{key} is {value!r}: give a whole number, or 0 for as many as cores")
    return int(value)


def _choice(parameters, key, choices, default):
    value = parameters.pop(key, None)
    if value is not None and value not in choices:
        raise pb_utils.TritonModelException(f"{key} is {value!r}: give {' or '.join(choices)}")
    return default if value is None else choices[value]


class TritonPythonModel:
    """One instance of an ONNX model."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        """Leaves the configuration as written: config.pbtxt says everything."""
        return auto_complete_model_config

    def initialize(self, args):
        """Loads the version's model.onnx and checks that it fits config.pbtxt."""
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / filename
        if not path.is_file():
            raise pb_utils.TritonModelException(f"there is no {path}")
        self.session = onnxruntime.InferenceSession(path, session_options(config), providers=["CPUExecutionProvider"])
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = [entry["name"] for entry in config["output"]]
        self.batched = config["max_batch_size"] > 0
        for kind, wanted, found in (
            ("input", self.inputs, self.session.get_inputs()),
            ("output", self.outputs, self.session.get_outputs()),
        ):
            missing = set(wanted) - {entry.name for entry in found}
            if missing:
                raise pb_utils.TritonModelException(f"{path} has no {kind} {', '.join(sorted(missing))}")

    def execute(self, requests):
        """Answers all waiting requests with one run of the model, or each alone where batching is off."""
        if not self.batched:
            return [self._answer([request])[0] for request in requests]
        return self._answer(requests)

    def _answer(self, requests):
        try:
            feeds, sizes = {}, []
            for name in self.inputs:
                arrays = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
                sizes = [len(array) for array in arrays]
                feeds[name] = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            results = self.session.run(self.outputs, feeds)
        except Exception as error:
            failure = pb_utils.TritonError(f"ONNX Runtime: {error}")
            return [pb_utils.InferenceResponse(error=failure) for _ in requests]
        if len(requests) == 1:
            return [self._response(results)]
        ends = np.cumsum(sizes)[:-1]
        parts = zip(*(np.split(result, ends) for result in results), strict=True)
        return [self._response(part) for part in parts]

    def _response(self, arrays):
        tensors = [pb_utils.Tensor(name, array) for name, array in zip(self.outputs, arrays, strict=True)]
        return pb_utils.InferenceResponse(output_tensors=tensors)
