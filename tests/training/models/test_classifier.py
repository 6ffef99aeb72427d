"""Tests of the classifier network."""

import pytest
import torch
from torch import Tensor

from training.models.classifier import SignClassifier, predict_logits


@pytest.fixture
def model() -> SignClassifier:
    torch.manual_seed(0)
    return SignClassifier(43).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [32, 48, 50, 64])
@pytest.mark.parametrize("count", [1, 5])
def test_one_row_of_float_logits_an_image(model: SignClassifier, size: int, count: int) -> None:
    logits = model(torch.zeros(count, size, size, 3, dtype=torch.uint8))

    assert logits.shape == (count, 43)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("num_classes", [2, 43])
def test_head_has_the_asked_number_of_classes(num_classes: int, images: Tensor) -> None:
    assert SignClassifier(num_classes, widths=(8, 16)).eval()(images).shape == (6, num_classes)


def test_uint8_and_float_pixels_give_the_same_logits(model: SignClassifier, images: Tensor) -> None:
    assert torch.equal(model(images), model(images.float()))


def test_half_precision_network_takes_uint8(model: SignClassifier, images: Tensor) -> None:
    expected = model(images)

    logits = model.bfloat16()(images)

    assert logits.dtype == torch.bfloat16
    assert torch.allclose(logits.float(), expected, atol=0.1)


def test_light_and_contrast_of_a_crop_change_little(model: SignClassifier, images: Tensor) -> None:
    signs = images.float()
    signs = signs - signs.mean() + 128

    logits, darker = model(signs), model(0.3 * signs + 5)

    assert (logits - darker).abs().max() < 0.2 * logits.std()
    assert not torch.allclose(model(torch.full_like(signs, 20.0)), logits, atol=1e-3)


@pytest.mark.parametrize("value", [0, 17, 255])
def test_crop_of_one_colour_has_finite_logits(model: SignClassifier, value: int) -> None:
    assert model(torch.full((1, 48, 48, 3), value, dtype=torch.uint8)).isfinite().all()


def test_colour_channels_are_not_interchangeable(model: SignClassifier, images: Tensor) -> None:
    assert not torch.allclose(model(images), model(images.flip(-1)), atol=1e-3)


def test_images_do_not_influence_each_other_when_evaluating(model: SignClassifier, images: Tensor) -> None:
    together = model(images)

    for index in range(len(images)):
        torch.testing.assert_close(model(images[index : index + 1])[0], together[index], atol=1e-5, rtol=1e-4)


def test_network_has_at_most_a_million_parameters(model: SignClassifier) -> None:
    assert 100_000 < sum(parameter.numel() for parameter in model.parameters()) <= 1_000_000


def test_temperature_divides_the_logits_when_evaluating_and_not_when_training(
    model: SignClassifier, images: Tensor
) -> None:
    plain = model(images)
    model.temperature.fill_(2.0)

    assert torch.equal(model(images), plain / 2)
    assert "temperature" in model.state_dict()
    model.train()
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d | torch.nn.Dropout):
            norm.eval()  # all that training changes but the temperature
    assert torch.equal(model(images), plain)


def test_every_parameter_gets_a_gradient(model: SignClassifier, images: Tensor) -> None:
    model.train()(images).square().sum().backward()

    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_probabilities_are_a_softmax_whatever_the_batch_size(model: SignClassifier, images: Tensor) -> None:
    expected = model(images).softmax(dim=1)

    for batch_size in (1, 4, 256):
        probabilities = predict_logits(model, images, batch_size).softmax(dim=1)
        assert probabilities.shape == (6, 43)
        assert probabilities.dtype == torch.float32
        torch.testing.assert_close(probabilities, expected, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6))
        assert (probabilities >= 0).all()


def test_predicting_evaluates_without_gradients(model: SignClassifier, images: Tensor) -> None:
    model.train()

    first, second = predict_logits(model, images).softmax(dim=1), predict_logits(model, images).softmax(dim=1)

    assert not model.training
    assert not first.requires_grad
    assert torch.equal(first, second)
