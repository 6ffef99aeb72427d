"""The settings of an export: the precision, and how Triton serves the version."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from traffic_signs.settings import BaseSettings, Setting, SettingError

Target = Literal["auto", "cpu", "gpu"]
TARGETS: tuple[Target, ...] = get_args(Target)


@dataclass(frozen=True)
class PrecisionRequest(BaseSettings):
    """The precision of an exported network; `export.run.check_wanted` checks it."""

    precision: Annotated[
        str, Setting("Of weights and activations; auto measures here.", metavar="fp32|fp16|int8|auto")
    ] = "fp32"
    max_loss: Annotated[
        float | None,
        Setting(
            "Largest loss against fp32 that is published: of accuracy, of a detector's mAP50.",
            show_default="0.002; of a detector 0.01",
            flags=("--max-accuracy-loss",),
        ),
    ] = None
    int8_for: Annotated[str, Setting("Target of int8: ONNX Runtime on CPUs, or TensorRT.", metavar="cpu|tensorrt")] = (
        "cpu"
    )


@dataclass(frozen=True)
class ServingOverrides(BaseSettings):
    """Fields of `export.config.Serving`; None keeps the value of the served version."""

    target: Annotated[
        Target | None,
        Setting(
            "cpu, gpu or auto: a configuration for each.",
            show_default="as the version served now; auto for a new model",
        ),
    ] = None
    response_cache: Annotated[
        bool | None, Setting("Remember answers.", show_default="as the version served now; off")
    ] = None
    max_queue: Annotated[
        int | None,
        Setting(
            "Requests that may wait; 0: any number. A Triton whose core lacks the fix of issue 8870 stalls with one.",
            min=0,
            show_default="as the version served now; 0",
        ),
    ] = None
    queue_timeout_ms: Annotated[
        int | None,
        Setting(
            "Milliseconds a request may wait; 0: any time. Such a Triton stalls with one, too.",
            min=0,
            show_default="as the version served now; 0",
        ),
    ] = None
    tensorrt: Annotated[
        bool | None,
        Setting(
            "Pass the graph to TensorRT on a GPU; several GPUs need a server from 25.06 on.",
            show_default="as the version served now; off",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target == "cpu" and self.tensorrt:
            raise SettingError("TensorRT needs a GPU: leave it out, or choose the target gpu or auto")
