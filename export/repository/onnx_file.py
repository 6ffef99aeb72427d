"""Would the serving image load this version? An ONNX file against its config.pbtxt and its names of classes."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from export.errors import RepositoryError
from export.repository.class_names import CLASS_NAMES, class_difference
from export.repository.configuration import is_onnx
from export.repository.manifest import MODEL_FILE, files_in
from export.repository.policy import CONFIG, config_paths, read_config

# The limits of ONNX Runtime 1.27, which the oldest server allowed on a network has; tried with that release.
READS_IR, READS_OPSET = 13, 26
FIXED_BATCHES = "fixed_batches"  # of its metadata: the batches that its convolutions have
AT_BATCH = "batch_{}_"  # prefix of the names in a branch of a fixed batch


def check_onnx(folder: Path, where: str) -> None:
    """Checks the ONNX files in the folder of a version, against its configurations and labels, if it has them.

    Raises:
        RepositoryError: a file is missing, damaged or newer than the serving image reads, or a configuration or the
            names of classes do not fit it. The message names all problems.
    """
    paths = config_paths(files_in(folder))
    configs = {path: read_config((folder / path).read_bytes(), f"{where}/{path}") for path in paths}

    @cache  # many configurations serve one file
    def load(name: str) -> Any:
        return _load(folder / name, f"{where}/{name}")

    for path, config in configs.items():
        _check(folder, where, path, config, load)
        _require_same_tensors(configs[paths[-1]], config, f"{where}/{path}")
    if not paths and (folder / MODEL_FILE).exists():
        load(MODEL_FILE)


def _require_same_tensors(usual: Any, config: Any, where: str) -> None:
    """Raises RepositoryError if a configuration has other inputs or outputs than the usual one.

    Those of backends that need none may leave them out. For ONNX they are complete: `signs serve`, the images and the
    chart start Triton with --disable-auto-complete-config.
    """
    for kind in ("input", "output"):
        wanted, found = getattr(usual, kind), getattr(config, kind)
        if wanted and found and wanted != found:
            raise RepositoryError(
                f"{where} has other {kind}s than {CONFIG}, and a version answers the same on all hardware: make them "
                "of one network"
            )


def _check(folder: Path, where: str, path: str, config: Any, load: Callable[[str], Any]) -> None:
    if not is_onnx(config):
        return
    name = config.default_model_filename or MODEL_FILE
    if not (folder / name).exists():
        raise RepositoryError(f"{where} has no {name}, which its {path} serves: put it there")
    model = load(name)
    batched = config.max_batch_size > 0
    problems = [*_misfits("input", config.input, model.graph.input, batched, path)]
    problems += _misfits("output", config.output, model.graph.output, batched, path)
    for output in config.output:
        if output.label_filename and (folder / output.label_filename).exists():
            problems += _wrong_labels(folder / output.label_filename, output.name, model)
    largest = max(_fixed_batches(model), default=config.max_batch_size)
    if config.max_batch_size > largest:
        problems.append(
            f"its batch is fixed at {largest}, and max_batch_size of {path} is {config.max_batch_size}: serve no "
            "larger batches than that"
        )
    problems += _foreign_weights(folder, name, model, load)
    if name != MODEL_FILE and (folder / MODEL_FILE).exists():
        usual = load(MODEL_FILE)
        problems += _other_constants(model.graph, usual.graph)
        if difference := class_difference(_class_names(model), _class_names(usual)):
            problems.append(f"it has other classes than {MODEL_FILE}: {difference}")
    if problems:
        raise RepositoryError(
            f"{where}/{name} would not be served: {'; '.join(problems)}. Export it again, or correct {path}"
        )


def _class_names(model: Any) -> list[str] | None:
    texts = [entry.value for entry in model.metadata_props if entry.key == CLASS_NAMES]
    return texts[0].split("\n") if texts else None


def _fixed_batches(model: Any) -> list[int]:
    texts = [entry.value for entry in model.metadata_props if entry.key == FIXED_BATCHES]
    return [int(size) for text in texts for size in text.split(",") if size.isdecimal()]


def _foreign_weights(folder: Path, name: str, model: Any, load: Callable[[str], Any]) -> Iterator[str]:
    outside = [tensor for tensor in model.graph.initializer if tensor.external_data]
    others: dict[str, dict[str, bytes]] = {}
    for tensor in outside:
        entry = {each.key: each.value for each in tensor.external_data}
        other, start, length = entry["location"], int(entry.get("offset", 0)), int(entry.get("length", 0))
        if not other.endswith(".onnx"):
            continue  # ONNX's usual file of weights, which holds nothing to compare them with
        if other not in others:
            others[other] = {each.name: each.raw_data for each in load(other).graph.initializer}
        with (folder / other).open("rb") as file:
            file.seek(start)
            found = file.read(length)
        if found != others[other].get(tensor.name):
            yield f"{name} takes its weights out of {other}, and {tensor.name} is not there: they are of two networks"
            return


def _other_constants(graph: Any, other: Any) -> Iterator[str]:
    """Yields a constant that two files of one network both have and that differs; other types are not compared."""
    known = {tensor.name: tensor for tensor in other.initializer}
    for tensor in _constants(graph):
        twin = known.get(re.sub(f"^{AT_BATCH.format('[0-9]+')}", "", tensor.name))
        if twin is None or not (tensor.raw_data and twin.raw_data):
            continue
        is_alike = (tensor.data_type, tensor.dims) == (twin.data_type, twin.dims)
        if is_alike and tensor.raw_data != twin.raw_data:
            yield f"it is of another network than {MODEL_FILE}, whose {twin.name} is not the same"
            return


def _constants(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _constants(attribute.g)


def _load(path: Path, where: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
        newer = "; ".join(_newer(model))  # first: it is clearer than the checker
        if newer:
            raise RepositoryError(f"{where} would not be served: {newer}. Export it again")
        onnx.checker.check_model(path)
    except (DecodeError, onnx.checker.ValidationError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RepositoryError(f"{where} is not a complete ONNX file ({reason}): copy or export it again") from error
    return model


def _newer(model: Any) -> Iterator[str]:
    if model.ir_version > READS_IR:
        yield f"it has IR {model.ir_version}, the serving image reads {READS_IR} at most"
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version > READS_OPSET:
            yield f"it has opset {entry.version}, the serving image reads {READS_OPSET} at most"


def _misfits(kind: str, wanted: Sequence[Any], found: Sequence[Any], batched: bool, path: str) -> Iterator[str]:
    """Yields a sentence for each input or output in which a configuration contradicts the graph."""
    from onnx import TensorProto
    from tritonclient.grpc import model_config_pb2 as pb

    tensors = {value.name: value.type.tensor_type for value in found}
    for entry in wanted:
        if entry.name not in tensors:
            yield f"it has no {kind} {entry.name}, only {', '.join(tensors)}"
            continue
        tensor = tensors[entry.name]
        given = _datatype(TensorProto.DataType.Name(tensor.elem_type))
        said = _datatype(pb.DataType.Name(entry.data_type).removeprefix("TYPE_"))
        if given != said:
            yield f"its {kind} {entry.name} is {given}, {path} says {said}"
        if not tensor.HasField("shape"):
            continue
        shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        if batched and shape and shape[0] not in (-1, 0):
            yield f"its {kind} {entry.name} has a fixed batch of {shape[0]}, {path} lets Triton batch requests"
        sizes = shape[1:] if batched else shape
        dims = list(entry.reshape.shape if entry.HasField("reshape") else entry.dims)
        # A size that the file leaves open may be fixed for an input; for an output Triton needs it open, too.
        if len(sizes) != len(dims) or any(
            size != given and (kind == "output" or size != -1) for size, given in zip(sizes, dims, strict=True)
        ):
            yield f"its {kind} {entry.name} has the shape {sizes}, {path} says {dims}"
    if kind == "input" or not wanted:  # some of several outputs may be left out
        known = {entry.name for entry in wanted}
        yield from (f"its {kind} {name} is missing in {path}" for name in tensors if name not in known)


def _datatype(name: str) -> str:
    """Returns a name of a datatype that ONNX and Triton share."""
    return {"FLOAT": "FP32", "FLOAT16": "FP16", "DOUBLE": "FP64", "BFLOAT16": "BF16"}.get(name, name)


def _wrong_labels(path: Path, output: str, model: Any) -> Iterator[str]:
    names = path.read_text(errors="replace").splitlines()
    for value in model.graph.output:
        dims = value.type.tensor_type.shape.dim
        classes = dims[-1].dim_value if dims else 0
        if value.name == output and classes and len(names) != classes:
            yield f"it has {classes} classes, and {path.name} names {len(names)}"
