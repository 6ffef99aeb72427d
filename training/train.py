"""The training loop of every network; a `Task` defines what is learned.

The loop is our own because the states that frameworks write are pickled, and this project never loads a pickle. An
epoch depends only on the state at its beginning, the seed and its number, so a resumed training reaches exactly the
weights of an uninterrupted one.
"""

import random
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import Dataset

from training.device import World, pick_device, pick_precision, pick_workers
from training.errors import CheckpointError, TrainingError
from training.loading import load_batches
from training.recipe import TrainingConfig
from training.state import load_state, save_state


class Task(Protocol):
    """A learning task: the training data, the loss and the validation data."""

    @property
    def examples(self) -> int:
        """Number of examples per epoch."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data."""

    @property
    def has_validation(self) -> bool:
        """Whether there is held-out data."""

    def batches(self, config: TrainingConfig, share: tuple[int, int]) -> Dataset[tuple[Tensor, ...]]:
        """Returns the batches by number: images, uint8 [n, h, w, 3], and their labels.

        `share` is the (rank, count) of the processes that divide each batch.
        """

    def loss(self, answer: Any, wanted: Sequence[Tensor], config: TrainingConfig) -> tuple[Tensor, Tensor]:
        """Returns the mean loss of the network's outputs, and a mean score, 0 to 1, for the curves."""

    def validate(self, model: nn.Module) -> tuple[float, float]:
        """Returns loss and score on the held-out data; the network is in evaluation mode."""


@dataclass(frozen=True)
class EpochReport:
    """The figures of one epoch: `loss` and `score` are means over its augmented training examples.

    The task defines the score, such as accuracy for a classifier. The validation figures are those of the averaged
    weights; None without held-out data.
    """

    epoch: int
    loss: float
    score: float
    learning_rate: float
    images_per_second: float
    validation_loss: float | None = None
    validation_score: float | None = None


@dataclass(frozen=True)
class Trained:
    """A finished training: the averaged network, on the CPU in evaluation mode, all reports, and the weights' epoch."""

    model: nn.Module
    curve: tuple[EpochReport, ...]
    epoch: int


def train(
    model: nn.Module,
    task: Task,
    config: TrainingConfig,
    state: Path | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    world: World | None = None,
) -> Trained:
    """Trains a network.

    Args:
        model: maps images, uint8 [n, h, w, 3], to the outputs of the task; it is modified.
        state: state file of an unfinished training; training resumes from it if it exists.
        on_epoch: receives the report of every finished epoch.
        world: the processes that train together; each needs the same data.

    Returns:
        The averaged model. On a CPU the same seed gives the same weights, also after an interruption.

    Raises:
        TrainingError: the loss is not finite, patience is set without held-out data, or the device does not exist.
        training.errors.CheckpointError: the state cannot be read or written, or belongs to another training.
    """
    config = config.suited_to(task.examples)
    if config.patience and not task.has_validation:
        raise TrainingError("patience needs held-out data: set --holdout")
    fit = Fit(model, task, config, world or World())
    if state is not None and state.exists():
        fit.restore(state)
    batches = fit.load(fit.epoch * fit.steps, config.epochs * fit.steps)
    while not fit.is_finished:
        report = fit.validate(fit.run_epoch(batches))
        fit.curve.append(report)
        if state is not None and fit.world.is_main:
            fit.save(state)
        if on_epoch is not None:
            on_epoch(report)
    return Trained(fit.kept_model(), tuple(fit.curve), fit.kept_epoch)


class Fit:
    """The state of a training and its steps."""

    def __init__(self, model: nn.Module, task: Task, config: TrainingConfig, world: World) -> None:
        self.task, self.config, self.world = task, config, world
        self.device = pick_device(config.device)
        self.precision = pick_precision(config.precision, self.device)
        self.workers = pick_workers(config.workers, self.device)
        self.batches = task.batches(config, (world.rank, world.size))
        self.steps = max(1, task.examples // config.batch_size)
        total = self.steps * config.epochs
        self.model = model.to(self.device).train()
        self.parallel = _distributed(self.model) if world.size > 1 else self.model
        if config.compile:  # shares the weights of the model, whose names it would prefix
            self.parallel = torch.compile(self.parallel)  # type: ignore[assignment]
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=config.learning_rate, total_steps=total
        )
        decay = 1 - 1 / max(1.0, config.averaging * total)
        averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(self.model, multi_avg_fn=averaging, use_buffers=True)
        self.curve: list[EpochReport] = []
        self.best: dict[str, Tensor] = {}
        self.kept_epoch = 0
        # A saved state must have the same settings, except where and how they are computed.
        recipe = {key: value for key, value in asdict(config).items() if key not in ("device", "workers", "compile")}
        self.identity = {**recipe, "precision": self.precision, "data": task.fingerprint}
        self.identity["examples"] = task.examples

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.curve)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done or patience has run out."""
        out_of_patience = self.config.patience and self.epoch - self.kept_epoch >= self.config.patience
        return self.epoch >= self.config.epochs or bool(out_of_patience)

    def load(self, first: int, end: int) -> Iterator[tuple[Tensor, ...]]:
        """Returns the batches with these numbers, pinned if the device is a GPU."""
        return load_batches(self.batches, first, end, self.workers, pinned=self.device.type == "cuda")

    def run_epoch(self, batches: Iterator[tuple[Tensor, ...]]) -> EpochReport:
        """Runs the steps of one epoch."""
        # Dropout uses PyTorch's global generator, which must not depend on where the training was resumed.
        torch.manual_seed(
            int(np.random.SeedSequence((self.config.seed, self.epoch, self.world.rank)).generate_state(1)[0])
        )
        self.model.train()
        losses = scores = torch.zeros((), device=self.device, dtype=torch.float64)
        seen, began = 0, time.perf_counter()
        for _ in range(self.steps):
            batch = next(batches)
            loss, score = self.step(*batch)
            count = len(batch[0])
            losses, scores, seen = losses + loss * count, scores + score * count, seen + count
        mean = losses.item() / seen
        if not np.isfinite(mean):
            raise TrainingError(f"the loss is {mean} after epoch {self.epoch + 1}: lower the learning rate")
        rate = seen * self.world.size / (time.perf_counter() - began)
        if not self.config.patience:
            self.kept_epoch = self.epoch + 1
        return EpochReport(
            self.epoch + 1, mean, scores.item() / seen, float(self.schedule.get_last_lr()[0]), round(rate, 1)
        )

    def step(self, images: Tensor, *wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Trains on one batch; returns its mean loss and score, both on the device."""
        images, *rest = (tensor.to(self.device, non_blocking=True) for tensor in (images, *wanted))
        self.optimizer.zero_grad(set_to_none=True)
        with _compile_errors():
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                answer = self.parallel(images)
            loss, score = self.task.loss(answer, rest, self.config)
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.model)
        return loss.detach(), score.detach()

    def validate(self, report: EpochReport) -> EpochReport:
        """Adds the validation figures to a report, and keeps the weights if they are the best so far."""
        if not self.task.has_validation:
            return report
        loss, score = self.task.validate(self.averaged.eval())
        if self.world.size > 1:  # all processes must stop in the same epoch
            shared = torch.tensor(loss, dtype=torch.float64, device=self.device)
            distributed.broadcast(shared, 0)
            loss = shared.item()
        best = min((past.validation_loss or 0 for past in self.curve), default=float("inf"))
        if self.config.patience and loss < best:
            self.best = {name: value.detach().clone() for name, value in self.averaged.module.state_dict().items()}
            self.kept_epoch = report.epoch
        return replace(report, validation_loss=loss, validation_score=score)

    def kept_model(self) -> nn.Module:
        """Returns the network with the final weights, on the CPU, in evaluation mode."""
        if self.best:
            self.averaged.module.load_state_dict(self.best)
        return self.averaged.module.cpu().eval()

    def save(self, path: Path) -> None:
        """Writes the state that a later process resumes from."""
        save_state(
            path,
            {
                "identity": self.identity,
                "model": self.model.state_dict(),
                "averaged": self.averaged.state_dict(),
                "best": self.best,
                "optimizer": self.optimizer.state_dict(),
                "schedule": {key: value for key, value in self.schedule.state_dict().items() if not callable(value)},
                "curve": [asdict(report) for report in self.curve],
                "kept_epoch": self.kept_epoch,
            },
        )

    def restore(self, path: Path) -> None:
        """Restores the state that `save` has written."""
        state = load_state(path)
        there = state.get("identity") or {}
        if there != self.identity:
            keys = there.keys() | self.identity.keys()
            other = ", ".join(sorted(key for key in keys if there.get(key) != self.identity.get(key)))
            raise CheckpointError(
                f"{path} belongs to a training with other settings or data ({other}): choose another --name, or remove "
                "it"
            )
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.best = state["best"]
        by_parameter = {int(index): values for index, values in state["optimizer"]["state"].items()}
        self.optimizer.load_state_dict({**state["optimizer"], "state": by_parameter})
        self.schedule.load_state_dict(state["schedule"])
        self.curve = [EpochReport(**report) for report in state["curve"]]
        self.kept_epoch = state["kept_epoch"]


@contextmanager
def _compile_errors() -> Iterator[None]:
    """Raises TrainingError where torch.compile fails, which it does at the first step."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = textwrap.shorten(str(error), 200, placeholder=" ...")
        raise TrainingError(
            f"the network cannot be compiled ({reason}): install a C++ compiler, or leave out --compile"
        ) from error


def _distributed(model: nn.Module) -> DistributedDataParallel:
    # A 1x1 kernel has the same bytes in either memory format, so that the strides it warns of cost nothing.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    return DistributedDataParallel(model)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and PyTorch; call it before building the model."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
