"""Tests of checkpoints."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from training import checkpoint
from training.checkpoint import CheckpointInfo, build_model, load_checkpoint, save_checkpoint
from training.errors import CheckpointError

INFO = CheckpointInfo(
    model="sign_classifier",
    architecture="small_resnet",
    arguments={"widths": [8, 16], "dropout": 0.1},
    class_names=["stop", "Stra\u00dfe", "yield"],
    input_size=[32, 32],
    data={"name": "drawn", "fingerprint": "0123"},
    metrics={"test_accuracy": 0.75},
    run_id="abc",
    git_commit="def",
)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    built = build_model(INFO)
    built(torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8))  # moves the running statistics of the norms
    return built.eval()


@pytest.fixture
def folder(tmp_path: Path, model: nn.Module) -> Path:
    """Returns a whole checkpoint."""
    path = tmp_path / "run" / "checkpoint"
    save_checkpoint(path, model, INFO)
    return path


def _change_info(folder: Path, **fields: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_loaded_model_gives_identical_outputs(folder: Path, model: nn.Module) -> None:
    loaded, info = load_checkpoint(folder)

    images = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(loaded(images), model(images))
    assert not loaded.training
    assert info == INFO


def test_checkpoint_is_weights_and_json_and_nothing_pickled(folder: Path, model: nn.Module) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]
    assert load_file(folder / "weights.safetensors").keys() == model.state_dict().keys()
    assert json.loads((folder / "model.json").read_text())["class_names"] == INFO.class_names


def test_saving_never_overwrites(folder: Path, model: nn.Module) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(CheckpointError, match=r"checkpoint exists already: choose another run name"):
        save_checkpoint(folder, nn.Linear(1, 1), INFO)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "full",
    [
        OSError(28, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_failing_half_way_leaves_nothing_behind(
    tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch, full: Exception
) -> None:
    def fail(tensors: object, path: Path) -> None:
        path.write_bytes(b"half of the wei")
        raise full

    monkeypatch.setattr(checkpoint, "save_file", fail)

    with pytest.raises(CheckpointError, match=r"cannot write .*No space left"):
        save_checkpoint(tmp_path / "checkpoint", model, INFO)
    assert list(tmp_path.iterdir()) == []


def test_info_that_is_no_json_leaves_nothing_behind(tmp_path: Path, model: nn.Module) -> None:
    info = replace(INFO, arguments={"widths": {8, 16}})  # JSON has no sets

    with pytest.raises((TypeError, CheckpointError)):
        save_checkpoint(tmp_path / "checkpoint", model, info)
    assert list(tmp_path.iterdir()) == []


def test_saving_works_again_after_a_failure(tmp_path: Path, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tensors: object, path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fail)
        with pytest.raises((OSError, CheckpointError)):
            save_checkpoint(tmp_path / "checkpoint", model, INFO)

    save_checkpoint(tmp_path / "checkpoint", model, INFO)
    assert load_checkpoint(tmp_path / "checkpoint")[1] == INFO


def test_place_that_cannot_be_written_is_a_checkpoint_error(tmp_path: Path, model: nn.Module) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(CheckpointError):
        save_checkpoint(tmp_path / "file" / "checkpoint", model, INFO)


@pytest.mark.parametrize("place", [".", "nowhere"])
def test_folder_without_a_checkpoint_is_a_checkpoint_error(tmp_path: Path, place: str) -> None:
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: model\.json is missing\. Give the folder"):
        load_checkpoint(tmp_path / place)


def test_file_instead_of_a_folder_is_a_checkpoint_error(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a checkpoint"):
        load_checkpoint(folder / "model.json")


def test_missing_weights_are_a_checkpoint_error(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"is not a checkpoint: .* is missing"):
        load_checkpoint(folder)


def test_message_names_the_missing_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"weights\.safetensors is missing"):
        load_checkpoint(folder)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_truncated_weights_are_a_checkpoint_error(folder: Path, kept: int) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])

    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(folder)


def test_pickled_weights_are_refused(folder: Path, model: nn.Module) -> None:
    torch.save(model.state_dict(), folder / "weights.safetensors")

    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"architecture": "small_resnet"}', "\x00"])
def test_damaged_info_is_a_checkpoint_error(folder: Path, content: str) -> None:
    (folder / "model.json").write_text(content)

    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(folder)


def test_info_that_is_no_text_is_a_checkpoint_error(folder: Path) -> None:
    (folder / "model.json").write_bytes(b"\xff\xfe\xfd")

    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(folder)


def test_unknown_architecture_is_a_checkpoint_error_that_names_the_known(folder: Path) -> None:
    _change_info(folder, architecture="transformer")

    with pytest.raises(
        CheckpointError, match="unknown architecture 'transformer': this version knows small_resnet, resnet18"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize("arguments", [{"depth": 3}, {"num_classes": 3}, {"widths": 8}, None, {"dropout": 7}])
def test_arguments_that_the_architecture_does_not_take_are_a_checkpoint_error(folder: Path, arguments: object) -> None:
    _change_info(folder, arguments=arguments)

    with pytest.raises(CheckpointError, match=r"does not take|cannot be used"):
        load_checkpoint(folder)


def test_empty_widths_are_a_checkpoint_error(folder: Path) -> None:
    _change_info(folder, arguments={"widths": []})

    with pytest.raises(CheckpointError):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "fields",
    [{"class_names": ["one"]}, {"arguments": {"widths": [8, 32]}}, {"arguments": {"widths": [8, 16, 32]}}],
    ids=["other classes", "wider", "deeper"],
)
def test_weights_of_another_shape_are_a_checkpoint_error(folder: Path, fields: dict[str, Any]) -> None:
    _change_info(folder, **fields)

    with pytest.raises(CheckpointError, match="cannot be used: its weights are not those of the small_resnet that"):
        load_checkpoint(folder)


def test_unknown_field_is_a_checkpoint_error_that_names_it(folder: Path) -> None:
    _change_info(folder, optimiser="adam")

    with pytest.raises(CheckpointError, match="optimiser"):
        load_checkpoint(folder)


def test_checkpoint_without_a_schema_is_of_the_first(folder: Path) -> None:
    path = folder / "model.json"
    fields = json.loads(path.read_text())
    assert fields.pop("schema") == 1
    path.write_text(json.dumps(fields))

    assert load_checkpoint(folder)[1] == INFO


@pytest.mark.parametrize(
    ("schema", "reason"),
    [(2, "is of schema 2, and this release reads up to 1: install a newer release"), ("1", "schema is '1'"), (0, "0")],
)
def test_checkpoint_of_another_schema_is_refused(folder: Path, schema: object, reason: str) -> None:
    _change_info(folder, schema=schema, layout="new")

    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(folder)


def test_older_checkpoint_without_optional_fields_loads(folder: Path) -> None:
    path = folder / "model.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({key: fields[key] for key in fields if key not in ("metrics", "run_id", "git_commit")}))

    info = load_checkpoint(folder)[1]
    assert (info.metrics, info.run_id, info.git_commit) == ({}, "", "")
