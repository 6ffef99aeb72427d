"""Calls another model of the same server (business logic scripting)."""

from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

LATEST = "latest"


class SubModelError(Exception):
    """Another model of the server did not answer, or answered something else than it should.

    Args:
        model: its name.
        message: what happened.
    """

    def __init__(self, model: str, message: str) -> None:
        hint = "it must be in the repository, in the form that `signs export recognizer` found there"
        super().__init__(f"{model} gave no answer ({message.strip()}): {hint}")
        self.model = model


class SubModel:
    """One input, some outputs, called with any number of rows.

    Args:
        name: of the model.
        version: its number, or "latest" for the server's choice.
        max_batch: most rows it takes at once.
        input_name: of its input.
        outputs: for each output its name and its shape without the batch.

    Raises:
        ValueError: the version is neither.
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
            rows: for the input, the batch first.
            trace: of the request that this is for; its spans take those of the call.

        Raises:
            SubModelError: the model is missing, not ready, failed, or is not the one that was expected.
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
            # A model on the GPU would otherwise leave its answer there, out of NumPy's reach.
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
            # A copy: the tensor's memory goes with the response.
            result = np.array(pb_utils.get_output_tensor_by_name(response, name).as_numpy())
            if result.shape[:1] != (len(rows),) or not _fits(result.shape[1:], shape):
                raise SubModelError(self.name, f"{name} has the shape {list(result.shape)}")
            results.append(result)
        return results


def _fits(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(found) == len(wanted) and all(size in (-1, each) for size, each in zip(wanted, found, strict=True))
