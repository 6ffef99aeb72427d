"""Stand-in for Triton's ONNX Runtime backend, used if the real one is not installed.

Triton loads this file as the backend `onnxruntime` if there is no `libtriton_onnxruntime.so` beside it: the
tritonserver from the wheel has only the Python backend. This file runs in the server's environment and imports
nothing from this project. It adds 0.2 to 0.3 ms to each request, so never publish its latency as the real backend's.

It accepts and refuses the same configurations as the real backend, so a version that loads here loads there:

- It applies `intra_op_thread_count`, `inter_op_thread_count`, `execution_mode`, `enable_mem_arena`,
  `enable_mem_pattern`, `memory.enable_memory_arena_shrinkage`, `session.use_device_allocator_for_initializers` and
  `optimization.graph.level`. It reads numbers as C's `stoi` does: `1.5` is 1, `many` is refused.
- The name, datatype and shape of every input and output must match the file.
- It runs on the CPU and ignores options for GPUs, like the real backend on a CPU. It refuses accelerators for CPUs.

A few values crash the real server (a number beyond 32 bits, too many threads, an invalid arena shrinkage). This
backend refuses them.
"""

import json
import os
import re
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read only at the import

import onnxruntime
import triton_python_backend_utils as pb_utils

# Parameters of the real backend that only its GPUs read.
FOR_GPUS = {"arena_extend_strategy", "cudnn_conv_algo_search", "do_copy_in_default_stream", "gpu_mem_limit"}
MOST_THREADS = 1024  # of one instance: without a thread for each, the real server ends
SHRINKAGE = "memory.enable_memory_arena_shrinkage"
DEVICE_ALLOCATOR = "session.use_device_allocator_for_initializers"
BOOLEANS = {"0": False, "1": True, "false": False, "true": True}
LEVELS = {  # any other level is the default, which optimizes most
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
DATATYPES = {  # of ONNX Runtime, as config.pbtxt writes them
    "tensor(bool)": "TYPE_BOOL",
    "tensor(double)": "TYPE_FP64",
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(string)": "TYPE_STRING",
    **{f"tensor({kind}{bits})": f"TYPE_{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


class Parameters:
    """The parameters of a model's configuration. Each is read once; `left` holds the unread ones."""

    def __init__(self, config):
        self.left = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}

    def integer(self, key):
        """Returns a whole number; 0 if the parameter is missing."""
        value = self.left.pop(key, "0")
        found = re.match(r"\s*([+-]?\d+)", value)
        if found is None:
            raise pb_utils.TritonModelException(f"{key} is {value!r}: give a whole number")
        if not -(2**31) <= int(found[1]) < 2**31:
            raise pb_utils.TritonModelException(f"{key} is {value!r}: numbers beyond 32 bits crash the real server")
        return int(found[1])

    def threads(self, key):
        """Returns a number of threads; 0, the default, lets ONNX Runtime choose it."""
        count = max(0, self.integer(key))
        if count > MOST_THREADS:
            raise pb_utils.TritonModelException(
                f"{key} is '{count}', which may crash the real server: give {MOST_THREADS} or less"
            )
        return count

    def boolean(self, key):
        """Returns a Boolean; True if the parameter is missing."""
        value = self.left.pop(key, "true")
        if value.lower() not in BOOLEANS:
            raise pb_utils.TritonModelException(f"{key} is {value!r}: give {' or '.join(BOOLEANS)}")
        return BOOLEANS[value.lower()]

    def text(self, key):
        """Returns the value as written; empty if the parameter is missing."""
        return self.left.pop(key, "")


def session_options(config):
    """Returns the session options and the run options of a model's configuration."""
    parameters = Parameters(config)
    options, run_options = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = parameters.threads("intra_op_thread_count")
    options.inter_op_num_threads = parameters.threads("inter_op_thread_count")
    mode = parameters.integer("execution_mode")
    if mode not in (0, 1):
        raise pb_utils.TritonModelException(f"execution_mode is '{mode}': give 0 or 1")
    if mode:
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = parameters.boolean("enable_mem_arena")
    options.enable_mem_pattern = parameters.boolean("enable_mem_pattern")
    level = config.get("optimization", {}).get("graph", {}).get("level", 0)
    options.graph_optimization_level = LEVELS.get(level, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    allocator = parameters.text(DEVICE_ALLOCATOR)
    if allocator:
        options.add_session_config_entry(DEVICE_ALLOCATOR, allocator)
    shrinkage = parameters.text(SHRINKAGE)
    if shrinkage:
        if shrinkage != "cpu:0" or not options.enable_cpu_mem_arena:
            raise pb_utils.TritonModelException(
                f"{SHRINKAGE} is {shrinkage!r}, which crashes the real server without that arena: give cpu:0, with "
                "enable_mem_arena"
            )
        run_options.add_run_config_entry(SHRINKAGE, shrinkage)
    for key in parameters.left.keys() - FOR_GPUS:
        pb_utils.Logger.log_warn(f"ONNX Runtime has no parameter {key}: it has no effect")
    return options, run_options


def check_accelerators(config):
    """Refuses accelerators for CPUs, like the real backend without OpenVINO."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    for each in accelerators.get("cpu_execution_accelerator", []):
        raise pb_utils.TritonModelException(f"unknown Execution Accelerator '{each['name']}' is requested")


def check_tensors(kind, config, found, exact):
    """Refuses inputs or outputs that differ from those of the file.

    Args:
        kind: "input" or "output".
        config: the model's configuration.
        found: the inputs or outputs of the session.
        exact: a dynamic size in the file must be dynamic in the configuration too.
    """
    name, batch = config["name"], [-1] if config["max_batch_size"] > 0 else []
    tensors = {each.name: each for each in found}
    if len(tensors) != len(config[kind]) and (kind == "input" or not config[kind]):  # some outputs may be left out
        raise pb_utils.TritonModelException(
            f"unable to load model '{name}', configuration expects {len(config[kind])} {kind}s, model provides "
            f"{len(tensors)}"
        )
    for entry in config[kind]:
        tensor = tensors.get(entry["name"])
        if tensor is None:
            raise pb_utils.TritonModelException(
                f"unexpected inference {kind} '{entry['name']}', allowed {kind}s are: {', '.join(tensors)}"
            )
        datatype = DATATYPES.get(tensor.type, "TYPE_INVALID")
        if datatype != entry["data_type"]:
            raise pb_utils.TritonModelException(
                f"unable to load model '{name}', configuration expects datatype {entry['data_type']} for {kind} "
                f"'{entry['name']}', model provides {datatype}"
            )
        given = [side if isinstance(side, int) else -1 for side in tensor.shape]
        wanted = batch + [int(side) for side in (entry.get("reshape") or {}).get("shape", entry["dims"])]
        if batch and given[:1] != batch:
            raise pb_utils.TritonModelException(
                f"model '{name}', tensor '{entry['name']}': for the model to support batching the shape should have at "
                f"least 1 dimension and the first dimension must be -1; but shape expected by the model is {given}"
            )
        if len(given) != len(wanted) or any(
            have != want and (exact or have != -1) for have, want in zip(given, wanted, strict=True)
        ):
            raise pb_utils.TritonModelException(
                f"model '{name}', tensor '{entry['name']}': the model expects {len(given)} dimensions (shape {given}) "
                f"but the model configuration specifies {len(wanted)} dimensions (shape {wanted})"
            )


class TritonPythonModel:
    """One instance of an ONNX model."""

    def initialize(self, args):
        """Loads the version's model.onnx and checks that it fits config.pbtxt."""
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / filename
        if not path.is_file():
            raise pb_utils.TritonModelException(f"there is no {path}")
        check_accelerators(config)
        options, self.run_options = session_options(config)
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        check_tensors("input", config, self.session.get_inputs(), exact=False)
        check_tensors("output", config, self.session.get_outputs(), exact=True)
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = [entry["name"] for entry in config["output"]]
        self.batched = config["max_batch_size"] > 0

    def execute(self, requests):
        """Answers all waiting requests with one run of the model, or one by one if batching is off."""
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
            results = self.session.run(self.outputs, feeds, self.run_options)
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
