"""Calls another model of the same server (business logic scripting)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

LATEST = "latest"


class SubModelError(Exception):
    """A call of another model failed, or its answer has an unexpected shape.

    Args:
        model: name of the model.
        message: the reason.
    """

    def __init__(self, model: str, message: str) -> None:
        hint = "it must be in the repository, in the form that `signs export recognizer` found there"
        super().__init__(f"{model} gave no answer ({message.strip()}): {hint}")
        self.model = model


class SubModel:
    """A model with one input, called with any number of rows.

    Args:
        name: name of the model.
        version: version number, or "latest" for the server's choice.
        max_batch: largest batch of the model.
        input_name: name of its input.
        outputs: the shape of each output without the batch, by name; -1 is any size.

    Raises:
        ValueError: `version` is neither a number nor "latest".
    """

    def __init__(
        self, name: str, version: str, max_batch: int, input_name: str, outputs: dict[str, tuple[int, ...]]
    ) -> None:
        if version != LATEST and not version.isdigit():
            raise ValueError(f"the version of {name} is {version!r}: give a number or {LATEST!r}")
        self.name, self.max_batch, self.input_name, self.outputs = name, max_batch, input_name, outputs
        self.version = -1 if version == LATEST else int(version)

    def __call__(self, rows: npt.NDArray[Any], trace: Any) -> list[npt.NDArray[Any]]:
        """Returns the outputs for all rows.

        Args:
            rows: the input, batch first.
            trace: trace of the request; the spans of this call are added to it.

        Raises:
            SubModelError: the model is missing, not ready or failed, or its outputs have other shapes.
        """
        starts = range(0, len(rows), self.max_batch)
        parts = [self._run(rows[start : start + self.max_batch], trace) for start in starts]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run(self, rows: npt.NDArray[Any], trace: Any) -> list[npt.NDArray[Any]]:
        request = pb_utils.InferenceRequest(
            model_name=self.name,
            model_version=self.version,
            requested_output_names=list(self.outputs),
            inputs=[pb_utils.Tensor(self.input_name, np.ascontiguousarray(rows))],
            trace=trace,
            # Otherwise a model on the GPU leaves its outputs there, where NumPy cannot read them.
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
        )
        try:
            response = request.exec()
        except pb_utils.TritonModelException as error:
            raise SubModelError(self.name, str(error)) from error
        if response.has_error():
            raise SubModelError(self.name, response.error().message())
        results = []
        for name, shape in self.outputs.items():
            # A copy: the tensor's memory is freed with the response.
            result = np.array(pb_utils.get_output_tensor_by_name(response, name).as_numpy())
            if result.shape[:1] != (len(rows),) or not _fits(result.shape[1:], shape):
                raise SubModelError(self.name, f"{name} has the shape {list(result.shape)}")
            results.append(result)
        return results


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(size in (-1, each) for size, each in zip(wanted, found, strict=True))
