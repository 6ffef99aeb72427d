"""Compiles an ONNX file with TensorRT's Python package if trtexec is missing; a program of its own.

    python tensorrt_build.py --onnx=model.onnx --saveEngine=model.plan --minShapes=images:1x48x48x3 \
        --optShapes=images:64x48x48x3 --maxShapes=images:64x48x48x3 --timingCacheFile=timing.cache

It takes the options of trtexec that `signs export engine` needs, and imports nothing of this project.
"""

import argparse
import sys
from pathlib import Path

import tensorrt as trt


def main() -> None:
    """Compiles, or ends with a message and code 1."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("onnx", "saveEngine", "minShapes", "optShapes", "maxShapes", "timingCacheFile"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    logger = trt.Logger(trt.Logger.INFO)
    builder = trt.Builder(logger)
    # TensorRT 10 needs the flag; 11 ignores it, because it types all networks strongly.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    reader = trt.OnnxParser(network, logger)
    if not reader.parse_from_file(options.onnx):
        sys.exit("\n".join(str(reader.get_error(index)) for index in range(reader.num_errors)))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    shapes = [_read_shapes(text) for text in (options.minShapes, options.optShapes, options.maxShapes)]
    for name in shapes[0]:
        profile.set_shape(name, *(each[name] for each in shapes))
    config.add_optimization_profile(profile)
    cache_file = Path(options.timingCacheFile)
    cache = config.create_timing_cache(cache_file.read_bytes() if cache_file.exists() else b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        sys.exit("TensorRT built nothing; its reasons are above")
    Path(options.saveEngine).write_bytes(plan)
    partial = cache_file.with_name(f"{cache_file.name}.partial")
    partial.write_bytes(config.get_timing_cache().serialize())
    partial.replace(cache_file)


def _read_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """Reads `images:64x48x48x3,other:...`."""
    pairs = (part.rpartition(":") for part in text.split(","))
    return {name: tuple(map(int, shape.split("x"))) for name, _, shape in pairs}


if __name__ == "__main__":
    main()
