"""The state file of an unfinished training, replaced after every epoch.

It is a safetensors file with the tensors; everything else is JSON in its header, in which a number stands for each
tensor. Nothing is pickled.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from traffic_signs.atomic_write import atomic_write
from training.errors import CheckpointError

STATE, TENSOR = "state", "tensor"


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a state atomically, by a rename: tensors and JSON values, nested in dictionaries and lists.

    Raises CheckpointError if the file cannot be written; the previous state is unchanged.
    """
    tensors: dict[str, Tensor] = {}

    def keep(value: Any) -> dict[str, str]:
        """Keeps a tensor, and returns what stands for it in the JSON."""
        if not isinstance(value, Tensor):
            raise TypeError(f"{type(value)} cannot be part of a state")
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {TENSOR: name}

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(state, default=keep)
        with atomic_write(path) as staging:
            save_file(tensors, staging, metadata={STATE: text})
            with staging.open("rb") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write {path} ({error}): free some disk space, then `signs train resume` continues after the last "
            "complete epoch"
        ) from error


def load_state(path: Path) -> dict[str, Any]:
    """Reads the state that `save_state` has written; all keys are text. Raises CheckpointError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:

            def fill(value: dict[str, Any]) -> Any:
                return file.get_tensor(value[TENSOR]) if value.keys() == {TENSOR} else value

            state: dict[str, Any] = json.loads((file.metadata() or {})[STATE], object_hook=fill)
            return state
    except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}): remove it, and the stage starts again") from error
