"""Runs an ONNX file in PyTorch eager.

An exported file has no PyTorch module, so each of its operations is called as the equivalent function of PyTorch. This
is no slower than the original module, because the export has folded the batch normalisation into the convolutions. Only
the operations of this project's exports are supported.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from traffic_signs.cores import usable_cores

DTYPES = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT8: torch.uint8,
}
# The place of the input with axes, shapes or sizes, by operation.
NUMBERS = dict.fromkeys(("ReduceMean", "ReduceMax", "Reshape", "Unsqueeze", "Expand", "Split", "TopK"), 1) | {
    "Resize": 2
}

Attributes = dict[str, Any]
Operation = Callable[..., Any]


class TorchNetwork:
    """A network in PyTorch eager, see `onnx_network.OnnxNetwork`; raises ValueError for an unsupported operation."""

    def __init__(self, path: Path, threads: int, device: str = "cpu") -> None:
        torch.set_num_threads(threads or usable_cores())
        torch.backends.cudnn.allow_tf32 = False  # as everybody here has it
        self.device = device
        graph = onnx.load(path).graph
        shape = [each.dim_value for each in graph.input[0].type.tensor_type.shape.dim]
        self.size = (shape[1], shape[2])
        self.taken = graph.input[0].name
        self.given = [each.name for each in graph.output]
        arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.constants: dict[str, Any] = {name: _tensor(array).to(device) for name, array in arrays.items()}
        self.steps: list[tuple[Operation, list[str], list[str]]] = []
        for node in graph.node:
            if node.op_type not in OPERATIONS:
                raise ValueError(f"{path} has the operation {node.op_type}, which torch_network.py does not know")
            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            inputs = list(node.input)
            place = NUMBERS.get(node.op_type)
            if place is not None and place < len(inputs) and inputs[place] in arrays:
                numbers = f"{inputs[place]} as numbers"
                self.constants[numbers] = arrays[inputs[place]].reshape(-1).tolist()
                inputs[place] = numbers
            self.steps.append((OPERATIONS[node.op_type](attributes), inputs, list(node.output)))
        self.constants[""] = None  # an input that is left out

    @torch.inference_mode()
    def __call__(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        """Returns all outputs, each with n rows."""
        taken = torch.from_numpy(np.require(images, requirements="W")).to(self.device)
        values = {**self.constants, self.taken: taken}
        for operation, inputs, outputs in self.steps:
            result = operation(*(values[name] for name in inputs))
            if len(outputs) == 1:
                values[outputs[0]] = result
            else:
                values.update(zip(outputs, result, strict=True))
        return [values[name].cpu().numpy() for name in self.given]


def _tensor(array: npt.NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(array.copy())
    # Images come with their channels last, and convolutions are fastest where the weights do as well.
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _numbers(value: Any) -> list[Any]:
    numbers: list[Any] = value.reshape(-1).tolist() if isinstance(value, Tensor) else value
    return numbers


def _divide(one: Tensor, other: Tensor) -> Tensor:
    return torch.div(one, other, rounding_mode=None if one.is_floating_point() else "trunc")


def _conv(attributes: Attributes) -> Operation:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    how = {
        "stride": attributes.get("strides", (1, 1)),
        "dilation": attributes.get("dilations", (1, 1)),
        "groups": attributes.get("group", 1),
    }
    if (top, left) == (bottom, right):
        return lambda x, weight, bias=None: F.conv2d(x, weight, bias, padding=(top, left), **how)
    return lambda x, weight, bias=None: F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, **how)


def _gemm(attributes: Attributes) -> Operation:
    if attributes.get("transA") or not attributes.get("transB") or attributes.get("alpha", 1) != 1:
        raise ValueError("Gemm is other than a linear layer, which torch_network.py does not know")
    return F.linear


def _pool(function: Operation) -> Callable[[Attributes], Operation]:
    def build(attributes: Attributes) -> Operation:
        pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
        if pads[:2] != pads[2:]:
            raise ValueError("pooling is padded on one side alone, which torch_network.py does not know")
        size = attributes["kernel_shape"]
        return lambda x: function(x, size, attributes.get("strides", (1, 1)), pads[:2])

    return build


def _reduce(function: Operation) -> Callable[[Attributes], Operation]:
    def build(attributes: Attributes) -> Operation:
        keep = bool(attributes.get("keepdims", 1))
        return lambda x, axes: function(x, dim=_numbers(axes), keepdim=keep)

    return build


def _reshape(x: Tensor, shape: Any) -> Tensor:
    return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(_numbers(shape))])


def _unsqueeze(x: Tensor, axes: Any) -> Tensor:
    for axis in sorted(_numbers(axes)):
        x = x.unsqueeze(axis)
    return x


def _split(attributes: Attributes) -> Operation:
    axis = attributes.get("axis", 0)

    def split(x: Tensor, sizes: Any = None) -> Sequence[Tensor]:
        if sizes is None:
            return x.chunk(attributes["num_outputs"], dim=axis)
        return x.split_with_sizes(_numbers(sizes), dim=axis)

    return split


def _resize(attributes: Attributes) -> Operation:
    if attributes.get("mode") != b"nearest":
        raise ValueError("Resize is other than nearest, which torch_network.py does not know")
    return lambda x, _, scales: F.interpolate(x, scale_factor=_numbers(scales)[2:], mode="nearest")


def _same(function: Operation) -> Callable[[Attributes], Operation]:
    return lambda _: function


OPERATIONS: dict[str, Callable[[Attributes], Operation]] = {
    "Add": _same(torch.add),
    "ArgMax": lambda a: lambda x: x.argmax(dim=a["axis"], keepdim=bool(a.get("keepdims", 1))),
    "AveragePool": _pool(F.avg_pool2d),
    "Cast": lambda a: lambda x: x.to(DTYPES[a["to"]]),
    "Clip": _same(torch.clamp),
    "Concat": lambda a: lambda *parts: torch.cat(parts, dim=a["axis"]),
    "Conv": _conv,
    "Div": _same(_divide),
    "Equal": _same(torch.eq),
    "Exp": _same(torch.exp),
    "Expand": _same(lambda x, shape: x.expand(np.broadcast_shapes(tuple(x.shape), tuple(_numbers(shape))))),
    "GatherElements": lambda a: lambda x, index: x.gather(a.get("axis", 0), index),
    "Gemm": _gemm,
    "Greater": _same(torch.gt),
    "Max": _same(torch.maximum),
    "MaxPool": _pool(F.max_pool2d),
    "Min": _same(torch.minimum),
    "Mod": _same(torch.remainder),
    "Mul": _same(torch.mul),
    "Pow": _same(torch.pow),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "Relu": _same(F.relu),
    "Reshape": _same(_reshape),
    "Resize": _resize,
    "Shape": _same(lambda x: torch.tensor(x.shape)),
    "Sigmoid": _same(torch.sigmoid),
    "Softmax": lambda a: lambda x: x.softmax(dim=a.get("axis", -1)),
    "Split": _split,
    "Sqrt": _same(torch.sqrt),
    "Sub": _same(torch.sub),
    "TopK": lambda a: lambda x, k: x.topk(_numbers(k)[0], dim=a.get("axis", -1)),
    "Transpose": lambda a: lambda x: x.permute(tuple(a["perm"])),
    "Unsqueeze": _same(_unsqueeze),
}
