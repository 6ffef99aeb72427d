"""Measures whether the preparation of batches keeps up with the network."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from torch import Tensor

from traffic_signs.classes import NUM_CLASSES
from traffic_signs.progress import ProgressCallback
from training.classifier.task import Classification
from training.data.crops import Crops
from training.device import World
from training.loading import PREFETCH
from training.models.classifier import SignClassifier
from training.recipe import TrainingConfig
from training.train import Fit, seed_everything

SIZE = 48
CROPS = 2048
MANY = 50_000  # crops of a data set with the batch that is the default for much data


@dataclass(frozen=True)
class Throughput:
    """Images per second of training steps."""

    network: float  # median over the rounds, with a batch that is already in memory
    loop: float  # median over the rounds, with batches that the workers prepare
    ratio: float  # median over the rounds of loop / network
    device: str
    precision: str
    workers: int  # number of processes that prepared batches
    batch_size: int  # crops in a step


def measure_throughput(
    architecture: str, config: TrainingConfig, steps: int, rounds: int, progress: ProgressCallback
) -> Throughput:
    """Times the whole training loop and the network alone, alternately, on random images.

    Of `config`, batch size (0: the default for the device), device, precision, workers and compile are used. Raises
    TrainingError if the architecture or the device is not available.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (CROPS, SIZE, SIZE, 3), dtype=np.uint8)
    crops = Crops(images, rng.integers(0, NUM_CLASSES, CROPS), tuple(map(str, range(CROPS))), "noise")
    seed_everything(config.seed)
    config = config.suited_to(MANY)
    taken = steps * (2 * rounds + 1)
    # Enough epochs that the schedule of the learning rate has all these steps.
    config = replace(config, epochs=-(-taken * config.batch_size // CROPS))
    fit = Fit(SignClassifier(NUM_CLASSES, architecture), Classification(crops), config, World())
    ready = fit.batches[0]
    batches = fit.load(0, rounds * (steps + PREFETCH * max(1, fit.workers)))
    _images_per_second(fit, [ready] * steps)  # warm-up
    pairs = []
    for done in range(1, rounds + 1):
        network = _images_per_second(fit, [ready] * steps)
        for _ in range(PREFETCH * fit.workers):
            next(batches)  # skip those that were prepared while the network alone was measured
        pairs.append((network, _images_per_second(fit, islice(batches, steps))))
        progress("rounds", done, rounds)
    network, loop = np.median(pairs, axis=0)
    ratio = float(np.median([loop / network for network, loop in pairs]))
    return Throughput(
        float(network), float(loop), ratio, str(fit.device), fit.precision, fit.workers, config.batch_size
    )


def _images_per_second(fit: Fit, batches: Iterable[tuple[Tensor, ...]]) -> float:
    images, began = 0, time.perf_counter()
    for batch in batches:
        loss, _ = fit.step(*batch)
        images += len(batch[0])
    loss.item()  # waits for a GPU
    return images / (time.perf_counter() - began)
