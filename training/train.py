"""The training loop of the classifier."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.augmentation import build_augmentation
from training.data.crops import Crops
from training.errors import TrainingError


@dataclass(frozen=True)
class TrainingConfig:
    """What a training run can be told.

    Attributes:
        epochs: passes over the training crops.
        batch_size: crops a step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        label_smoothing: share of each label's probability spread over all classes.
        ema_decay: of the exponential moving average of the weights, a step; the average is what is kept.
        balance: how far to even out the classes: 0 draws every crop equally often, 1 every class.
        seed: of weights, order and augmentation.
        device: "auto" takes a GPU where there is one.
    """

    epochs: int = 80
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    ema_decay: float = 0.99
    balance: float = 0.5
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True)
class EpochReport:
    """What one epoch came to: `loss` and `accuracy` are means over its augmented training crops."""

    epoch: int
    loss: float
    accuracy: float
    learning_rate: float


def train(
    model: nn.Module,
    crops: Crops,
    config: TrainingConfig,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> nn.Module:
    """Trains a classifier on sign crops.

    Args:
        model: maps uint8 [n, h, w, 3] to logits; it is changed.
        crops: the training crops.
        config: how.
        on_epoch: told of every finished epoch.

    Returns:
        The averaged model, on the CPU, in evaluation mode. On a CPU the same seed gives the same weights.

    Raises:
        TrainingError: the loss is no longer a number, or the device is not there.
    """
    device = pick_device(config.device)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = max(1, len(crops) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=steps * config.epochs
    )
    averaging = get_ema_multi_avg_fn(config.ema_decay)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(model, multi_avg_fn=averaging, use_buffers=True)
    batches = _batches(crops, config, steps)
    for epoch in range(1, config.epochs + 1):
        losses, hits, seen = 0.0, 0, 0
        for _ in range(steps):
            images, labels = (tensor.to(device) for tensor in next(batches))
            logits = model(images)
            loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            averaged.update_parameters(model)
            losses += loss.item() * len(labels)
            hits += int((logits.argmax(dim=1) == labels).sum())
            seen += len(labels)
        if not np.isfinite(losses):
            raise TrainingError(f"the loss is {losses} after epoch {epoch}: lower the learning rate")
        if on_epoch is not None:
            on_epoch(EpochReport(epoch, losses / seen, hits / seen, float(schedule.get_last_lr()[0])))
    return averaged.module.cpu().eval()


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and PyTorch: call it before building the model."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def pick_device(name: str) -> torch.device:
    """Returns the named device, or for "auto" a GPU where there is one.

    Raises:
        TrainingError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as error:  # every backend of PyTorch fails in a way of its own
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise TrainingError(f"no device {name!r} here ({reason}): use auto or cpu") from error
    return device


def _batches(crops: Crops, config: TrainingConfig, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(config.seed)
    augment = build_augmentation(config.seed)
    counts = np.bincount(crops.class_ids)
    weights = counts[crops.class_ids] ** -float(config.balance)
    weights /= weights.sum()
    while True:
        # One draw an epoch without replacement within a batch would starve rare classes: draw with it.
        order = rng.choice(len(crops), size=(steps, min(config.batch_size, len(crops))), p=weights)
        for indices in order:
            images = np.stack([augment(image) for image in crops.images[indices]])
            yield torch.from_numpy(images), torch.from_numpy(crops.class_ids[indices])
