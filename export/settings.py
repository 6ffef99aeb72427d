"""The settings of an export: the precision, and how Triton serves the version."""

from dataclasses import dataclass
from typing import Annotated, Literal

from traffic_signs.settings import BaseSettings, Setting, SettingError

Precision = Literal["fp32", "fp16", "int8", "auto"]
Int8Target = Literal["cpu", "tensorrt"]
Target = Literal["auto", "cpu", "gpu"]
STALL = "Servers without the fix for Triton's issue 8870, such as 2.51, stall if this is set."


@dataclass(frozen=True)
class PrecisionRequest(BaseSettings):
    """The precision of an exported network; `export.run.check_wanted` checks it."""

    precision: Annotated[
        Precision, Setting("Precision of weights and activations: fp32, fp16, int8, or auto to measure all.")
    ] = "fp32"
    max_loss: Annotated[
        float | None,
        Setting(
            "Largest loss of accuracy (of a detector: mAP50) against fp32 that is published.",
            show_default="0.002; for a detector 0.01",
            flags=("--max-accuracy-loss",),
            min=0,
            max=1,
        ),
    ] = None
    int8_for: Annotated[
        Int8Target, Setting("Hardware that int8 is for: cpu, or tensorrt for GPUs; each needs another graph.")
    ] = "cpu"


@dataclass(frozen=True)
class ServingOverrides(BaseSettings):
    """Fields of `export.config.Serving`; None keeps the value of the served version."""

    target: Annotated[
        Target | None,
        Setting(
            "Hardware of the serving configurations: cpu, gpu, or auto for both.",
            show_default="that of the served version, else auto",
        ),
    ] = None
    response_cache: Annotated[
        bool | None, Setting("Use Triton's response cache.", show_default="that of the served version, else off")
    ] = None
    max_queue: Annotated[
        int | None,
        Setting(
            f"Largest number of waiting requests; 0: no limit. {STALL}",
            min=0,
            show_default="that of the served version, else 0",
        ),
    ] = None
    queue_timeout_ms: Annotated[
        int | None,
        Setting(
            f"Milliseconds that a request may wait; 0: no limit. {STALL}",
            min=0,
            show_default="that of the served version, else 0",
        ),
    ] = None
    tensorrt: Annotated[
        bool | None,
        Setting(
            "Run the graph with TensorRT on a GPU; several GPUs need Triton 25.06 or newer.",
            show_default="that of the served version, else off",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target == "cpu" and self.tensorrt:
            raise SettingError("TensorRT needs a GPU: leave out --tensorrt, or choose the target gpu or auto")
