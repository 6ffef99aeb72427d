"""Tests of classifier runs that were interrupted or failed, and of resuming them."""

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.training.classifier.short_runs import RECIPE, statuses, weights, with_config
from tests.training.tiny_gtsdb import TinyGtsdb
from training.checkpoint import load_checkpoint
from training.classifier.runs import train_classifier
from training.data.dataset_mix import open_sources
from training.errors import CheckpointError, TrainingError
from training.kinds import resume_run
from training.runs import RunReporter


class _KilledError(BaseException):
    """Stands for a kill -9, which no process survives; that one is in the tests of the command line."""


@pytest.mark.parametrize(
    "stage",
    ["fold 1 of 2", *(pytest.param(stage, marks=pytest.mark.long) for stage in ("train", "refit"))],
)
def test_interrupted_run_is_resumed_to_the_same_result(gtsdb: TinyGtsdb, runs: Path, stage: str) -> None:
    recipe, specs = replace(RECIPE, holdout=0.5, folds=2, refit=True), [f"gtsdb={gtsdb.folder}"]
    whole = train_classifier(open_sources(specs), recipe, "whole", runs, specs=specs)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == (f"{stage}: epochs", 1):
            raise _KilledError

    with pytest.raises(_KilledError):
        train_classifier(open_sources(specs), recipe, "cut", runs, RunReporter(interrupt), specs)
    with pytest.raises(TrainingError, match=r"was interrupted: `signs train resume cut --runs .*`"):
        train_classifier(open_sources(specs), recipe, "cut", runs, specs=specs)
    resumed = resume_run("cut", runs)

    assert weights(resumed) == weights(whole)
    assert resumed.metrics == whole.metrics
    assert sorted(path.name for path in resumed.folder.iterdir()) == ["checkpoint", "plots"]
    assert sorted(statuses(runs)) == ["FINISHED", "FINISHED"]
    with pytest.raises(TrainingError, match="is finished"):
        resume_run("cut", runs)


def test_run_is_resumed_on_other_hardware_with_its_own_batches(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other hardware is simulated: here is one kind only."""
    recipe, specs = with_config(batch_size=0, learning_rate=0, precision="auto"), [f"gtsdb={gtsdb.folder}"]
    monkeypatch.setattr("training.device._gains_by_bf16", lambda device: False)
    whole = train_classifier(open_sources(specs), recipe, "whole", runs, specs=specs)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("train: epochs", 1):
            raise _KilledError

    with pytest.raises(_KilledError):
        train_classifier(open_sources(specs), recipe, "cut", runs, RunReporter(interrupt), specs)
    settings = runs / "cut" / "run.json"
    settings.write_text(settings.read_text().replace('"device": "cpu"', '"device": "hpu"'))
    monkeypatch.setattr("training.device._gains_by_bf16", lambda device: True)
    monkeypatch.setattr("training.recipe.BATCHES", ((5_000, 2, 1e-3),))
    with pytest.raises(TrainingError, match=r"no device 'hpu' here .*: give --device cpu"):
        resume_run("cut", runs)

    assert weights(resume_run("cut", runs, device="cpu")) == weights(whole)


def test_run_that_was_never_begun_cannot_be_resumed(runs: Path) -> None:
    with pytest.raises(TrainingError, match="there is no interrupted run 'cut'"):
        resume_run("cut", runs)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"specs": [], "recipe": {"config": {"lr": 1}}, "run_id": ""}'])
def test_damaged_settings_are_a_training_error(runs: Path, content: str) -> None:
    (runs / "cut").mkdir()
    (runs / "cut" / "run.json").write_text(content)

    with pytest.raises(TrainingError, match=r"run\.json cannot be used"):
        resume_run("cut", runs)


def test_full_disk_keeps_what_is_there_to_go_on_with(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full disk is simulated: filling a real one would disturb the machine."""
    from training import state

    specs = [f"gtsdb={gtsdb.folder}"]
    whole = train_classifier(open_sources(specs), RECIPE, "whole", runs, specs=specs)
    writes = [0]

    def fill(*arguments: object, **named: object) -> None:
        writes[0] += 1
        if writes[0] == 2:
            raise OSError(28, "No space left on device")
        save_file(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(state, "save_file", fill)
        with pytest.raises(CheckpointError, match=r"No space left on device.*`signs train resume`"):
            train_classifier(open_sources(specs), RECIPE, "cut", runs, specs=specs)

    assert not list((runs / "cut").rglob(".staging-*"))
    assert weights(resume_run("cut", runs)) == weights(whole)


def test_run_whose_plots_fail_keeps_its_checkpoint_and_is_registered_by_resuming(
    gtsdb: TinyGtsdb, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [f"gtsdb={gtsdb.folder}"]

    def fail(*_: object) -> None:
        raise ValueError("a plot fails")

    with monkeypatch.context() as patch:
        patch.setattr("training.classifier.report.draw_recall", fail)
        with pytest.raises(ValueError, match="a plot fails"):
            train_classifier(open_sources(specs), RECIPE, "cut", runs, specs=specs)
    resumed = resume_run("cut", runs)

    assert load_checkpoint(resumed.checkpoint) and resumed.registered_version == "1"
    assert not (resumed.folder / "run.json").exists()
