"""The settings of a training run."""

from dataclasses import dataclass, field, replace

import numpy as np

from training.device import pick_device
from training.models.backbones import DEFAULT

# The default length of a training, in crops seen: of GTSRB with 20,000 drawings 40 passes, what 2 idle CPU cores do in
# about an hour, and 80 passes on a GPU.
CROPS_SEEN_ON_CPU = 2_370_000
CROPS_SEEN_ON_GPU = 2 * CROPS_SEEN_ON_CPU
MIN_EPOCHS, MAX_EPOCHS = 10, 80
# By the number of crops: batch size and peak learning rate. Few crops need small batches, or they get few steps.
BATCHES = ((5_000, 16, 2e-3), (20_000, 64, 2e-3))
LARGE_BATCH = (256, 4e-3)
# A GPU takes a step of 512 crops in the time of one of 64 (on an H200). With twice the crops seen that is as many steps
# as on a CPU. With AdamW the learning rate grows with the root of the batch (Malladi and others, 2022).
LARGE_BATCH_ON_GPU = (512, 5.6e-3)


@dataclass(frozen=True)
class TrainingConfig:
    """What a training run can be told.

    Attributes:
        epochs: passes over the training crops; 0 chooses by their number.
        batch_size: crops a step, over all processes; 0 chooses by their number and the device.
        learning_rate: peak of the one-cycle schedule; 0 chooses as for the batch size.
        weight_decay: of AdamW. Held-out tracks of GTSRB liked 0.2 better than 0.02 in a short training (the model card
            has the figures); longer passes want less (Wang and Aitchison, 2024, arXiv 2405.13698). The detector's
            command gives its own.
        label_smoothing: share of each label's probability spread over all classes.
        averaging: window of the exponential moving average of the weights, as a share of all steps; the average
            is what is kept.
        balance: how far to even out the classes: 0 draws every crop equally often, 1 every class.
        patience: epochs without a smaller validation loss after which training stops, and the best weights are
            kept; 0 trains to the end and keeps the last.
        seed: of weights, order and augmentation.
        device: "auto" takes a GPU where there is one.
        precision: of the forward pass: fp32, bf16, or "auto".
        workers: processes that prepare batches; None chooses. Any number gives the same training.
    """

    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    weight_decay: float = 0.1
    label_smoothing: float = 0.05
    averaging: float = 0.02
    balance: float = 0.5
    patience: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    workers: int | None = None

    def suited_to(self, crops: int) -> "TrainingConfig":
        """Returns the config with its open choices made for a number of training crops and the device.

        Raises:
            TrainingError: the device does not exist here.
        """
        on_cpu = pick_device(self.device).type == "cpu"
        seen = CROPS_SEEN_ON_CPU if on_cpu else CROPS_SEEN_ON_GPU
        epochs = self.epochs or int(np.clip(round(seen / crops), MIN_EPOCHS, MAX_EPOCHS))
        sizes = ((size, rate) for limit, size, rate in BATCHES if crops < limit)
        batch_size, learning_rate = next(sizes, LARGE_BATCH if on_cpu else LARGE_BATCH_ON_GPU)
        return replace(
            self,
            epochs=epochs,
            batch_size=self.batch_size or batch_size,
            learning_rate=self.learning_rate or learning_rate,
        )


@dataclass(frozen=True)
class Recipe:
    """What a training run does, besides its data.

    Attributes:
        config: of the training loop.
        architecture: of the network.
        folds: with 2 or more, cross-validate over the training crops first.
        holdout: share of the tracks or images that is held out to watch the training and to calibrate on; 0 holds
            none out.
        refit: train once more on everything after the training with a hold-out, which takes twice the time.
        keep_leaked: keep the tracks, scenes and entries of feedback that show test signs of another data set.
    """

    config: TrainingConfig = field(default_factory=TrainingConfig)
    architecture: str = DEFAULT
    folds: int = 0
    holdout: float = 0.05
    refit: bool = False
    keep_leaked: bool = False
