"""Architectures by name: the networks in `networks/`, and backbones of torchvision if it is installed."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from torch import nn

from training.errors import TrainingError
from training.models import networks
from training.recipe import Recipe

DEFAULT = Recipe.architecture

# Backbones of torchvision that work on small images. Their weights are random: the published ones are pickles and were
# trained on photographs with unknown licences.
TORCHVISION = (
    "resnet18",
    "resnet50",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "shufflenet_v2_x1_0",
    "regnet_y_400mf",
)


def architectures() -> tuple[str, ...]:
    """Returns the names of all architectures, the default first."""
    own = sorted(module.name for module in pkgutil.iter_modules(networks.__path__))
    return (DEFAULT, *(name for name in own if name != DEFAULT), *TORCHVISION)


def build_backbone(architecture: str, num_classes: int, **arguments: Any) -> nn.Module:
    """Builds a network that maps normalised images, float [n, 3, h, w], to logits [n, num_classes].

    Raises:
        TrainingError: the architecture is unknown, or torchvision is needed and cannot be imported.
        TypeError, ValueError, LookupError: the constructor does not accept the arguments.
    """
    if architecture in TORCHVISION:
        model: nn.Module = _torchvision_builder(architecture)(weights=None, num_classes=num_classes, **arguments)
        return model
    if architecture not in architectures():
        raise TrainingError(f"unknown architecture {architecture!r}: this version knows {', '.join(architectures())}")
    module = importlib.import_module(f"{networks.__name__}.{architecture}")
    build = getattr(module, "build", None)
    if build is None:
        raise TrainingError(f"{module.__file__} defines no build(num_classes): see docs/your-own-model.md")
    network: nn.Module = build(num_classes, **arguments)
    return network


def _torchvision_builder(architecture: str) -> Callable[..., nn.Module]:
    try:
        from torchvision import models
    except Exception as error:  # a torchvision that does not match PyTorch raises RuntimeError and others
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise TrainingError(
            f"{architecture} needs torchvision, which cannot be imported ({reason}): install the build that belongs "
            f"to your PyTorch (pip install '.[vision]'), or train with --architecture {DEFAULT}"
        ) from error
    builder: Callable[..., nn.Module] = getattr(models, architecture)
    return builder
