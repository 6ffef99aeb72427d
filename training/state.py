"""The state file of an unfinished training, replaced after every epoch.

It is a safetensors file with the tensors; everything else is JSON in its header. Nothing is pickled. Optimizer states
are flattened to `optimizer.<parameter>.<name>`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from traffic_signs.atomic_write import atomic_write
from training.errors import CheckpointError

FACTS = "facts"


def save_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes the state atomically, by a rename.

    Raises:
        CheckpointError: the file cannot be written; the previous state is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        with atomic_write(path) as staging:
            save_file(whole, staging, metadata={FACTS: json.dumps(facts)})
            with staging.open("rb") as file:
                os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write {path} ({error}): free some disk space, then `signs train resume` continues after the last "
            "complete epoch"
        ) from error


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads the tensors and the facts of a state.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}): remove it, and the stage starts again") from error


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors with `prefix.` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Returns an optimizer's tensors by name, and its parameter groups."""
    state = optimizer.state_dict()
    tensors = {f"{index}.{key}": value for index, entry in state["state"].items() for key, value in entry.items()}
    return with_prefix("optimizer", tensors), state["param_groups"]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Restores the state that `flatten_optimizer` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in without_prefix("optimizer", tensors).items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": groups})
