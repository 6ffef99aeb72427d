"""The settings of a training run, which are also the options of the command line; it imports no PyTorch."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from traffic_signs.settings import BaseSettings, Seed, Setting

# The default length of a training, in crops seen: for GTSRB with 20,000 drawings 40 passes, about an hour on 2 idle CPU
# cores, and 80 passes on a GPU.
CROPS_SEEN_ON_CPU = 2_370_000
CROPS_SEEN_ON_GPU = 2 * CROPS_SEEN_ON_CPU
MIN_EPOCHS, MAX_EPOCHS = 10, 80
# By the number of crops: batch size and peak learning rate. Few crops need small batches, or they get few steps.
BATCHES = ((5_000, 16, 2e-3), (20_000, 64, 2e-3))
LARGE_BATCH = (256, 4e-3)
# A GPU takes a step of 512 crops in the time of one of 64 (on an H200). With twice the crops seen that is as many steps
# as on a CPU. With AdamW the learning rate grows with the root of the batch (Malladi and others, 2022).
LARGE_BATCH_ON_GPU = (512, 5.6e-3)

Architecture = Annotated[
    str,
    Setting(
        "Network: small_resnet, resnet18 and others of torchvision, or your own NAME.py in training/models/networks.",
        metavar="NAME",
    ),
]
Device = Annotated[str, Setting("cpu, cuda, cuda:1, or auto: a GPU if there is one.", metavar="DEVICE")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"], Setting("fp32, bf16, or auto: bf16 if the hardware is faster with it.")
]
Workers = Annotated[
    int | None, Setting("Processes that prepare batches.", min=0, max=256, show_default="by the hardware")
]
Compile = Annotated[bool, Setting("Compile the network with torch.compile, which needs a C++ compiler.")]
Epochs = Annotated[
    int,
    Setting(
        "Passes over the training crops. Automatic: 10 to 80, to see 2.4 million crops (4.7 million on a GPU).",
        min=0,
        max=10_000,
        show_default="automatic",
    ),
]
WeightDecay = Annotated[float, Setting("Weight decay of AdamW.", min=0, max=10)]


@dataclass(frozen=True)
class TrainingConfig(BaseSettings):
    """The settings of the training loop, with the classifier's defaults."""

    # 0 is automatic: `suited_to` chooses.
    epochs: Epochs = 0
    batch_size: Annotated[
        int,
        Setting(
            "Crops in a step. Automatic: 256, on a GPU 512, and fewer if there are few crops.",
            min=0,
            show_default="automatic",
        ),
    ] = 0
    learning_rate: Annotated[
        float,
        Setting(
            "Peak learning rate of the one-cycle schedule. Automatic: 0.004, on a GPU 0.0056, for few crops 0.002.",
            min=0,
            max=10,
            show_default="automatic",
        ),
    ] = 0.0
    # 0.2 was better than 0.02 on held-out tracks of GTSRB in a short training; longer trainings need less (Wang and
    # Aitchison, 2024, arXiv 2405.13698).
    weight_decay: WeightDecay = 0.1
    label_smoothing: float = 0.05  # share of each label's probability spread over all classes
    averaging: float = 0.02  # window of the weights' exponential moving average, which is kept, as a share of all steps
    balance: float = 0.5  # how far to even out the classes: 0 draws every crop equally often, 1 every class
    patience: Annotated[
        int, Setting("Stop after this number of epochs without a lower held-out loss; 0: never.", min=0)
    ] = 0
    seed: Seed = 0
    device: Device = "auto"
    precision: Precision = "auto"
    workers: Workers = None  # any number of processes gives the same training
    compile: Compile = False

    def suited_to(self, crops: int) -> "TrainingConfig":
        """Returns the config with its open choices made for a number of training crops and the device.

        Raises TrainingError if the device does not exist here.
        """
        from training.device import pick_device, pick_precision  # which import PyTorch

        device = pick_device(self.device)
        on_cpu = device.type == "cpu"
        seen = CROPS_SEEN_ON_CPU if on_cpu else CROPS_SEEN_ON_GPU
        epochs = self.epochs or min(max(round(seen / crops), MIN_EPOCHS), MAX_EPOCHS)
        sizes = ((size, rate) for limit, size, rate in BATCHES if crops < limit)
        batch_size, learning_rate = next(sizes, LARGE_BATCH if on_cpu else LARGE_BATCH_ON_GPU)
        return replace(
            self,
            epochs=epochs,
            batch_size=self.batch_size or batch_size,
            learning_rate=self.learning_rate or learning_rate,
            precision=pick_precision(self.precision, device),
        )


@dataclass(frozen=True)
class DetectorConfig(TrainingConfig):
    """The settings of the training loop, with the detector's defaults."""

    epochs: Annotated[
        int, Setting("Passes over the scenes, with 8 crops of each scene in a pass.", min=1, max=10_000)
    ] = 32
    batch_size: Annotated[int, Setting("Crops of 320x320 pixels in a step.", min=1)] = 32
    learning_rate: Annotated[float, Setting("Peak learning rate of the one-cycle schedule.", min=1e-7, max=10)] = 3e-3
    weight_decay: WeightDecay = 0.02


@dataclass(frozen=True)
class Recipe(BaseSettings):
    """What a training run does, besides its data; the defaults are the classifier's."""

    config: TrainingConfig = field(default_factory=TrainingConfig)
    architecture: Architecture = "small_resnet"
    folds: Annotated[int, Setting("Folds of a cross-validation before the training; 0: none.", min=0)] = 0
    holdout: Annotated[
        float, Setting("Share of the tracks held out for validation and calibration.", min=0, max=0.5)
    ] = 0.05
    refit: Annotated[bool, Setting("At the end, train again on all crops, also the held-out ones.")] = False
    # Tracks, scenes and entries of feedback that show test signs of another data set.
    keep_leaked: Annotated[
        bool, Setting("Keep training signs that also occur in the test split of another data set.")
    ] = False


@dataclass(frozen=True)
class DetectorRecipe(Recipe):
    """What a training run of the detector does, besides its data."""

    config: DetectorConfig = field(default_factory=DetectorConfig)
    architecture: Annotated[
        str, Setting("Network: centre_net_small, or centre_net with nearly twice the arithmetic.", metavar="NAME")
    ] = "centre_net_small"
    holdout: Annotated[float, Setting("Share of the scenes held out for validation.", min=0, max=0.5)] = 0.1
    refit: Annotated[bool, Setting("At the end, train again on all scenes, also the held-out ones.")] = False
