"""Tests of the training loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from training.data.crops import Crops
from training.errors import TrainingError
from training.evaluate import evaluate
from training.models.classifier import SignClassifier, predict_probabilities
from training.train import EpochReport, TrainingConfig, pick_device, seed_everything, train

CONFIG = TrainingConfig(epochs=2, batch_size=8, device="cpu")


def _trained(crops: Crops, config: TrainingConfig, reports: list[EpochReport] | None = None) -> nn.Module:
    seed_everything(config.seed)
    model = SignClassifier(43, widths=(8, 16))
    return train(model, crops, config, None if reports is None else reports.append)


def test_same_seed_gives_bit_identical_weights(coloured_crops: Crops) -> None:
    first, second = _trained(coloured_crops, CONFIG).state_dict(), _trained(coloured_crops, CONFIG).state_dict()

    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_seed_gives_other_weights(coloured_crops: Crops) -> None:
    first = _trained(coloured_crops, CONFIG).state_dict()
    second = _trained(coloured_crops, replace(CONFIG, seed=1)).state_dict()

    assert not torch.equal(first["head.weight"], second["head.weight"])


def test_seed_also_decides_order_and_augmentation(coloured_crops: Crops) -> None:
    def from_equal_weights(seed: int) -> torch.Tensor:
        seed_everything(0)
        model = SignClassifier(43, widths=(8, 16))
        weights: dict[str, torch.Tensor] = train(model, coloured_crops, replace(CONFIG, seed=seed)).state_dict()
        return weights["head.weight"]

    assert not torch.equal(from_equal_weights(0), from_equal_weights(1))


def test_colours_are_learned(coloured_crops: Crops) -> None:
    reports: list[EpochReport] = []
    model = _trained(coloured_crops, replace(CONFIG, epochs=20, ema_decay=0.9), reports)

    probabilities = predict_probabilities(model, torch.from_numpy(coloured_crops.images)).numpy()
    assert evaluate(probabilities, coloured_crops.class_ids).accuracy == 1.0
    assert reports[-1].loss < reports[0].loss / 2
    assert reports[-1].accuracy > 0.9


def test_model_comes_back_on_the_cpu_in_evaluation_mode(coloured_crops: Crops) -> None:
    model = _trained(coloured_crops, CONFIG)

    assert isinstance(model, SignClassifier)
    assert not model.training
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_averaged_weights_come_back_not_the_last(coloured_crops: Crops) -> None:
    seed_everything(0)
    model = SignClassifier(43, widths=(8, 16))

    averaged = train(model, coloured_crops, CONFIG)

    assert averaged is not model
    assert not torch.equal(averaged.state_dict()["head.weight"], model.state_dict()["head.weight"])


def test_every_epoch_is_reported_with_its_figures(coloured_crops: Crops) -> None:
    reports: list[EpochReport] = []
    _trained(coloured_crops, replace(CONFIG, epochs=3), reports)

    assert [report.epoch for report in reports] == [1, 2, 3]
    assert all(report.loss > 0 and 0 <= report.accuracy <= 1 for report in reports)
    assert 0 <= reports[-1].learning_rate < reports[0].learning_rate <= CONFIG.learning_rate


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


def test_loss_that_is_no_number_is_a_training_error(coloured_crops: Crops) -> None:
    reports: list[EpochReport] = []

    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) after epoch \d: lower the learning rate"):
        _trained(coloured_crops, replace(CONFIG, learning_rate=1e30), reports)
    assert all(np.isfinite(report.loss) for report in reports)


@pytest.mark.parametrize("name", ["nonsense", "", "cuda:99"])
def test_device_that_is_not_there_is_a_training_error(coloured_crops: Crops, name: str) -> None:
    with pytest.raises(TrainingError, match=rf"no device '{name}' here .*: use auto or cpu"):
        _trained(coloured_crops, replace(CONFIG, device=name))


def test_device_of_another_build_of_pytorch_is_a_training_error() -> None:
    with pytest.raises(TrainingError):
        pick_device("hpu")


def test_auto_picks_a_device_that_works() -> None:
    device = pick_device("auto")

    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_colours_are_learned_on_a_gpu(coloured_crops: Crops) -> None:
    model = _trained(coloured_crops, replace(CONFIG, epochs=20, ema_decay=0.9, device="cuda"))

    probabilities = predict_probabilities(model, torch.from_numpy(coloured_crops.images)).numpy()
    assert evaluate(probabilities, coloured_crops.class_ids).accuracy == 1.0
