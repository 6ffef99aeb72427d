"""Tests of the architectures by name."""

import sys

import pytest
import torch

from training.errors import TrainingError
from training.models.backbones import TORCHVISION, architectures, build_backbone


def test_unknown_architecture_names_the_known() -> None:
    with pytest.raises(TrainingError, match="unknown architecture 'vgg': this version knows small_resnet, resnet18"):
        build_backbone("vgg", 43)


def test_backbone_without_torchvision_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)

    with pytest.raises(TrainingError, match=r"resnet18 needs torchvision, .*'\.\[vision\]"):
        build_backbone("resnet18", 43)


@pytest.mark.parametrize("architecture", architectures())
def test_architectures_map_images_to_logits(architecture: str) -> None:
    if architecture in TORCHVISION:
        try:
            import torchvision  # noqa: F401
        except Exception as error:
            pytest.skip(f"no torchvision that fits this PyTorch here ({error})")

    model = build_backbone(architecture, 43).eval()

    assert model(torch.zeros(2, 3, 48, 48)).shape == (2, 43)
