"""Tests of the state of unfinished trainings."""

from pathlib import Path

import pytest
import torch

from training import state
from training.errors import CheckpointError
from training.state import flatten_optimizer, load_state, restore_optimizer, save_state, with_prefix, without_prefix


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = {"a.b": torch.arange(6).reshape(2, 3).t(), "c": torch.tensor(2.5)}

    save_state(tmp_path / "new" / "state", tensors, {"epoch": 3, "curve": [{"loss": 0.1}]})
    loaded, facts = load_state(tmp_path / "new" / "state")

    assert facts == {"epoch": 3, "curve": [{"loss": 0.1}]}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state"]


def test_failing_half_way_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    save_state(path, {"a": torch.ones(1)}, {"epoch": 1})

    def fail(tensors: object, staging: Path, metadata: object) -> None:
        staging.write_bytes(b"half of the sta")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_file", fail)
    with pytest.raises(CheckpointError, match=r"No space left on device.*signs train resume"):
        save_state(path, {"a": torch.zeros(1)}, {"epoch": 2})

    assert load_state(path)[1] == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x04pickled", bytes(100)])
def test_damaged_state_is_a_checkpoint_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"cannot be used .*: remove it"):
        load_state(tmp_path / "state")


def test_optimizer_continues_as_if_it_had_never_stopped() -> None:
    def step(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (parameter**3).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    whole = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    first = torch.optim.AdamW([whole], lr=0.1)
    step(whole, first)
    tensors, groups = flatten_optimizer(first)
    copy = torch.nn.Parameter(whole.detach().clone())
    second = torch.optim.AdamW([copy], lr=0.7)
    restore_optimizer(second, {name: tensor.clone() for name, tensor in tensors.items()}, groups)
    step(whole, first)
    step(copy, second)

    assert torch.equal(copy, whole)


def test_prefixes_come_and_go() -> None:
    one, two = torch.ones(1), torch.zeros(2)

    assert without_prefix("a", {**with_prefix("a", {"x": one}), **with_prefix("ab", {"x": two})}) == {"x": one}
