"""Tests of the state of unfinished trainings."""

from pathlib import Path

import pytest
import torch

from training import state
from training.errors import CheckpointError
from training.state import load_state, save_state


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = {"a.b": torch.arange(6).reshape(2, 3).t(), "c": torch.tensor(2.5)}

    saved = {"epoch": 3, "model": tensors, "layers": {0: [{"weight": tensors["c"], "rate": 0.1}]}, "best": {}}
    save_state(tmp_path / "new" / "state", saved)
    loaded = load_state(tmp_path / "new" / "state")

    assert loaded.keys() == saved.keys() and (loaded["epoch"], loaded["best"]) == (3, {})
    assert loaded["model"].keys() == tensors.keys()
    assert all(torch.equal(loaded["model"][name], tensors[name]) for name in tensors)
    assert loaded["layers"] == {"0": [{"weight": tensors["c"], "rate": 0.1}]}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state"]


def test_failing_half_way_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    save_state(path, {"a": torch.ones(1), "epoch": 1})

    def fail(tensors: object, staging: Path, metadata: object) -> None:
        staging.write_bytes(b"half of the sta")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_file", fail)
    with pytest.raises(CheckpointError, match=r"No space left on device.*signs train resume"):
        save_state(path, {"a": torch.zeros(1), "epoch": 2})

    assert load_state(path) == {"a": torch.ones(1), "epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04pickled", bytes(100)])
def test_damaged_state_is_a_checkpoint_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"cannot be used .*: remove it"):
        load_state(tmp_path / "state")
