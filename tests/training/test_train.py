"""Tests of the training loop."""

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from traffic_signs.classes import CLASS_NAMES
from training.classifier.evaluate import evaluate
from training.classifier.task import Classification
from training.data.crops import Crops
from training.device import World, pick_device
from training.errors import CheckpointError, TrainingError
from training.models.classifier import SignClassifier, predict_logits
from training.recipe import Precision, TrainingConfig
from training.train import EpochReport, Trained, seed_everything, train

CONFIG = TrainingConfig(epochs=2, batch_size=8, learning_rate=2e-3, device="cpu", precision="fp32", workers=0)
WIDTHS = (8, 16)


def _train(
    crops: Crops,
    config: TrainingConfig,
    on_epoch: Callable[[EpochReport], None] | None = None,
    validation: Crops | None = None,
    state: Path | None = None,
) -> Trained:
    seed_everything(config.seed)
    model = SignClassifier(43, widths=WIDTHS)
    return train(model, Classification(crops, validation), config, state, on_epoch)


def _trained(crops: Crops, config: TrainingConfig, reports: list[EpochReport] | None = None) -> nn.Module:
    return _train(crops, config, None if reports is None else reports.append).model


def _same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


COMPILES = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # by PyTorch's own compiler


@COMPILES
@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_is_trained_kept_and_resumed_as_any_other(
    coloured_crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    state = tmp_path / "state.safetensors"
    compiled = replace(CONFIG, compile=True)
    whole = _trained(coloured_crops, compiled)

    def interrupt(report: EpochReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(coloured_crops, compiled, interrupt, state=state)
    assert _same(_train(coloured_crops, compiled, state=state).model, whole)
    assert type(whole) is SignClassifier
    assert whole.state_dict().keys() == SignClassifier(43, widths=WIDTHS).state_dict().keys()
    assert all(value.isfinite().all() for value in whole.state_dict().values())


@COMPILES
@pytest.mark.long
def test_a_network_that_cannot_be_compiled_is_a_training_error(
    coloured_crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.compiler.reset()  # forgets what was compiled before
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, str(tmp_path / "no-compiler")))
    with pytest.raises(TrainingError, match=r"cannot be compiled .*: install a C\+\+ compiler, or leave out --compile"):
        _trained(coloured_crops, replace(CONFIG, compile=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_gives_bit_identical_weights(coloured_crops: Crops, precision: Precision) -> None:
    config = replace(CONFIG, precision=precision)

    assert _same(_trained(coloured_crops, config), _trained(coloured_crops, config))


def test_other_seed_gives_other_weights(coloured_crops: Crops) -> None:
    assert not _same(_trained(coloured_crops, CONFIG), _trained(coloured_crops, replace(CONFIG, seed=1)))


def test_seed_also_decides_order_and_augmentation(coloured_crops: Crops) -> None:
    def from_equal_weights(seed: int) -> nn.Module:
        seed_everything(0)
        return train(
            SignClassifier(43, widths=WIDTHS), Classification(coloured_crops), replace(CONFIG, seed=seed)
        ).model

    assert not _same(from_equal_weights(0), from_equal_weights(1))


@pytest.mark.parametrize("workers", [1, 2])
def test_number_of_workers_changes_nothing(coloured_crops: Crops, workers: int) -> None:
    assert _same(_trained(coloured_crops, CONFIG), _trained(coloured_crops, replace(CONFIG, workers=workers)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_colours_are_learned(coloured_crops: Crops, precision: Precision) -> None:
    reports: list[EpochReport] = []
    model = _trained(coloured_crops, replace(CONFIG, epochs=20, precision=precision), reports)

    probabilities = predict_logits(model, torch.from_numpy(coloured_crops.images)).softmax(dim=1).numpy()
    assert evaluate(probabilities, coloured_crops.class_ids, CLASS_NAMES).accuracy == 1.0
    assert reports[-1].loss < reports[0].loss / 2
    assert reports[-1].score > 0.5 > reports[0].score


def test_model_comes_back_on_the_cpu_in_evaluation_mode_with_full_precision(coloured_crops: Crops) -> None:
    model = _trained(coloured_crops, replace(CONFIG, precision="bf16"))

    assert isinstance(model, SignClassifier)
    assert not model.training
    assert {(parameter.device.type, parameter.dtype) for parameter in model.parameters()} == {("cpu", torch.float32)}


def test_averaged_weights_come_back_not_the_last(coloured_crops: Crops) -> None:
    seed_everything(0)
    model = SignClassifier(43, widths=WIDTHS)

    averaged = train(model, Classification(coloured_crops), replace(CONFIG, averaging=0.5)).model

    assert averaged is not model
    assert not _same(averaged, model)


def test_every_epoch_is_reported_with_its_figures(coloured_crops: Crops) -> None:
    reports: list[EpochReport] = []
    trained = _train(coloured_crops, replace(CONFIG, epochs=3), reports.append)

    assert [report.epoch for report in reports] == [1, 2, 3]
    assert trained.curve == tuple(reports)
    assert trained.epoch == 3
    assert all(report.loss > 0 and 0 <= report.score <= 1 for report in reports)
    assert all(report.images_per_second > 0 and report.validation_loss is None for report in reports)
    assert 0 <= reports[-1].learning_rate < reports[0].learning_rate <= CONFIG.learning_rate


def test_validation_is_of_the_averaged_weights(coloured_crops: Crops) -> None:
    trained = _train(coloured_crops, CONFIG, validation=coloured_crops)

    probabilities = predict_logits(trained.model, torch.from_numpy(coloured_crops.images)).softmax(dim=1).numpy()
    report = trained.curve[-1]
    assert report.validation_score == evaluate(probabilities, coloured_crops.class_ids, CLASS_NAMES).accuracy
    truth = probabilities[np.arange(len(coloured_crops)), coloured_crops.class_ids]
    assert report.validation_loss == pytest.approx(float(-np.log(truth).mean()), rel=1e-4)


def test_watching_changes_nothing(coloured_crops: Crops) -> None:
    assert _same(_train(coloured_crops, CONFIG, validation=coloured_crops).model, _trained(coloured_crops, CONFIG))


def test_patience_stops_early_and_keeps_the_best_weights(coloured_crops: Crops) -> None:
    # Labels that contradict the training crops: the better these are learned, the larger the loss.
    contrary = replace(coloured_crops, class_ids=np.roll(coloured_crops.class_ids, 1))
    config = replace(CONFIG, epochs=30, patience=3)

    trained = _train(coloured_crops, config, validation=contrary)

    losses = [report.validation_loss or 0 for report in trained.curve]
    assert len(losses) < 30
    assert trained.epoch == 1 + int(np.argmin(losses)) == len(losses) - 3
    probabilities = predict_logits(trained.model, torch.from_numpy(contrary.images)).softmax(dim=1).numpy()
    truth = probabilities[np.arange(len(contrary)), contrary.class_ids]
    assert -np.log(truth).mean() == pytest.approx(min(losses), rel=1e-4)


def test_patience_without_validation_is_a_training_error(coloured_crops: Crops) -> None:
    with pytest.raises(TrainingError, match="--holdout"):
        _trained(coloured_crops, replace(CONFIG, patience=3))


@pytest.mark.parametrize("patience", [0, 8])
def test_interrupted_training_reaches_the_same_weights(coloured_crops: Crops, tmp_path: Path, patience: int) -> None:
    config, state = replace(CONFIG, epochs=4, patience=patience), tmp_path / "state.safetensors"
    whole = _train(coloured_crops, config, validation=coloured_crops)

    def interrupt(report: EpochReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(coloured_crops, config, interrupt, coloured_crops, state)
    seen: list[EpochReport] = []
    resumed = _train(coloured_crops, config, seen.append, coloured_crops, state)

    assert [report.epoch for report in seen] == [3, 4]
    assert _same(resumed.model, whole.model)
    assert resumed.epoch == whole.epoch
    assert [replace(a, images_per_second=0) for a in resumed.curve] == [
        replace(b, images_per_second=0) for b in whole.curve
    ]


def _train_until_killed(crops: Crops, config: TrainingConfig, state: Path) -> None:
    def kill(report: EpochReport) -> None:
        if report.epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    _train(crops, config, kill, None, state)


def test_killed_training_reaches_the_same_weights(coloured_crops: Crops, tmp_path: Path) -> None:
    config, state = replace(CONFIG, epochs=5, workers=1), tmp_path / "state.safetensors"
    process = multiprocessing.get_context("spawn").Process(
        target=_train_until_killed, args=(coloured_crops, config, state)
    )
    process.start()
    process.join()

    assert process.exitcode == -signal.SIGKILL
    seen: list[EpochReport] = []
    resumed = _train(coloured_crops, config, seen.append, None, state)
    assert [report.epoch for report in seen] == [4, 5]
    assert _same(resumed.model, _trained(coloured_crops, config))


def test_finished_state_is_not_trained_again(coloured_crops: Crops, tmp_path: Path) -> None:
    first = _train(coloured_crops, CONFIG, state=tmp_path / "state.safetensors")
    seen: list[EpochReport] = []

    again = _train(coloured_crops, CONFIG, seen.append, state=tmp_path / "state.safetensors")

    assert seen == []
    assert _same(first.model, again.model)


@pytest.mark.parametrize(
    "change", [{"epochs": 3}, {"learning_rate": 1e-3}, {"weight_decay": 0.2}, {"seed": 1}, {"precision": "bf16"}]
)
def test_state_of_another_training_is_a_checkpoint_error(
    coloured_crops: Crops, tmp_path: Path, change: dict[str, object]
) -> None:
    _train(coloured_crops, CONFIG, state=tmp_path / "state.safetensors")

    wanted = rf"belongs to a training with other settings or data \({next(iter(change))}\): choose another --name"
    with pytest.raises(CheckpointError, match=wanted):
        _train(coloured_crops, replace(CONFIG, **change), state=tmp_path / "state.safetensors")  # type: ignore[arg-type]


def test_state_of_other_data_is_a_checkpoint_error(coloured_crops: Crops, tmp_path: Path) -> None:
    _train(coloured_crops, CONFIG, state=tmp_path / "state.safetensors")

    with pytest.raises(CheckpointError, match=r"with other settings or data \(data\)"):
        _train(replace(coloured_crops, fingerprint="other"), CONFIG, state=tmp_path / "state.safetensors")


@pytest.mark.parametrize(("count", "batch_size", "epochs"), [(1, 1, 1), (3, 16, 1), (5, 2, 1), (48, 48, 1)])
def test_few_crops_are_enough(coloured_crops: Crops, count: int, batch_size: int, epochs: int) -> None:
    reports: list[EpochReport] = []
    config = replace(CONFIG, batch_size=batch_size, epochs=epochs)

    _trained(coloured_crops.select(np.arange(count, dtype=np.int64)), config, reports)

    assert len(reports) == epochs


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_balance_trains_on_uneven_classes(coloured_crops: Crops, balance: float) -> None:
    uneven = coloured_crops.select(np.array([0, 4, 8, 12, 16, 20, 24, 1], dtype=np.int64))

    assert isinstance(_trained(uneven, replace(CONFIG, balance=balance)), SignClassifier)


@pytest.mark.parametrize(
    ("crops", "epochs", "batch_size", "learning_rate"),
    [(850, 80, 16, 0.002), (5000, 80, 64, 0.002), (59_209, 40, 256, 0.004), (1_000_000, 10, 256, 0.004)],
)
def test_open_choices_suit_the_number_of_crops(crops: int, epochs: int, batch_size: int, learning_rate: float) -> None:
    config = TrainingConfig(device="cpu").suited_to(crops)

    assert (config.epochs, config.batch_size, config.learning_rate) == (epochs, batch_size, learning_rate)
    chosen = TrainingConfig(epochs=3, batch_size=5, learning_rate=0.1, precision="fp32")
    assert chosen.suited_to(crops) == chosen


def test_a_gpu_takes_as_many_steps_with_twice_the_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no GPU here: the device is only named."""
    monkeypatch.setattr("training.device.pick_device", torch.device)
    monkeypatch.setattr("training.device.pick_precision", lambda name, device: "bf16")
    on_cpu, on_gpu = (TrainingConfig(device=device).suited_to(59_209) for device in ("cpu", "cuda"))

    assert (on_gpu.epochs, on_gpu.batch_size) == (2 * on_cpu.epochs, 2 * on_cpu.batch_size) == (80, 512)
    assert on_cpu.learning_rate < on_gpu.learning_rate < 2 * on_cpu.learning_rate
    assert TrainingConfig(device="cuda").suited_to(850).batch_size == 16, "few crops need many steps everywhere"


def test_loss_that_is_no_number_is_a_training_error(coloured_crops: Crops, diverging: None) -> None:
    reports: list[EpochReport] = []

    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) after epoch \d: lower the learning rate"):
        _trained(coloured_crops, CONFIG, reports)
    assert all(np.isfinite(report.loss) for report in reports)


@pytest.mark.parametrize("name", ["nonsense", "", "cuda:99"])
def test_device_that_is_not_there_is_a_training_error(coloured_crops: Crops, name: str) -> None:
    with pytest.raises(TrainingError, match=rf"no device '{name}' here .*: give --device cpu"):
        _trained(coloured_crops, replace(CONFIG, device=name))


def _train_one_rank(rank: int, port: int, crops: Crops, config: TrainingConfig, folder: Path) -> None:
    from training.device import joined_world

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with joined_world("cpu") as world:
        seed_everything(config.seed)
        trained = train(
            SignClassifier(43, widths=WIDTHS), Classification(crops, crops), config, folder / "state", None, world
        )
        torch.save(trained.model.state_dict(), folder / f"{rank}.pt")
        (folder / f"{rank}.txt").write_text(f"{world.size} {len(trained.curve)} {trained.curve[-1].score}")


def test_two_processes_train_one_network(coloured_crops: Crops, tmp_path: Path, free_port: int) -> None:
    """On the CPU through gloo, as there are no two GPUs here; the code is that of NCCL's processes."""
    config = replace(CONFIG, epochs=20)
    context = multiprocessing.get_context("spawn")
    arguments = (free_port, coloured_crops, config, tmp_path)
    processes = [context.Process(target=_train_one_rank, args=(rank, *arguments)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    trained = [name for name, _ in SignClassifier(43, widths=WIDTHS).named_parameters()]
    assert all(torch.equal(first[name], second[name]) for name in trained)
    model = SignClassifier(43, widths=WIDTHS)
    model.load_state_dict(first)
    probabilities = predict_logits(model, torch.from_numpy(coloured_crops.images)).softmax(dim=1).numpy()
    assert evaluate(probabilities, coloured_crops.class_ids, CLASS_NAMES).accuracy == 1.0
    assert (tmp_path / "0.txt").read_text().startswith("2 20 ")


def test_world_of_one_is_main() -> None:
    assert World().is_main
    assert not World(1, 2).is_main


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_colours_are_learned_on_a_gpu(coloured_crops: Crops, precision: Precision) -> None:
    config = replace(CONFIG, epochs=20, device=str(pick_device("cuda")), precision=precision)
    model = _trained(coloured_crops, config)

    probabilities = predict_logits(model, torch.from_numpy(coloured_crops.images)).softmax(dim=1).numpy()
    assert evaluate(probabilities, coloured_crops.class_ids, CLASS_NAMES).accuracy == 1.0
