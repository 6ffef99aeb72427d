"""What `signs export tune` varies, how it chooses, and how it writes a choice into a config.pbtxt."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import model_config_pb2 as pb

from export.config import ENGINE, THREADS, profile, set_threads
from export.errors import ExportError
from export.repository.configuration import ONNX, TENSORRT


@dataclass(frozen=True)
class Setting:
    """What is tuned; see `export.config.Serving`."""

    instances: int
    threads: int
    queue_delay_us: int
    max_batch: int

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}" if self.threads else "all threads"
        instances = f"{self.instances} instance{'' if self.instances == 1 else 's'}"
        return f"{instances}, {threads}, {self.queue_delay_us} us, batch {self.max_batch}"


@dataclass(frozen=True)
class Outcome:
    """The measurement of a setting in each round, or the problem for which it cannot be used."""

    setting: Setting
    images_per_second: tuple[float, ...] = ()
    p50_ms: float = float("nan")
    p95_ms: float = float("nan")
    p99_ms: float = float("nan")
    requests: int = 0
    problem: str = ""

    @property
    def throughput(self) -> float:
        """Images a second over all rounds, which are of the same length."""
        return float(np.mean(self.images_per_second)) if self.images_per_second else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Returns everything by name, with None for a figure that was not measured."""
        values = asdict(self) | {"throughput": self.throughput}
        return {name: None if value != value else value for name, value in values.items()}


def measured(setting: Setting, rounds: Sequence[tuple[float, npt.NDArray[np.float64]]]) -> Outcome:
    """Returns the outcome of a setting that works; `rounds` are seconds and latencies in ms, float64 [n], of each."""
    latencies = np.concatenate([each for _, each in rounds])
    if not len(latencies):
        return Outcome(setting, problem="no request was answered in time: give more --seconds")
    p50, p95, p99 = (float(each) for each in np.percentile(latencies, (50, 95, 99)))
    rates = tuple(len(each) / seconds for seconds, each in rounds)
    return Outcome(setting, rates, p50, p95, p99, len(latencies))


def grid(
    instances: Sequence[int], threads: Sequence[int], delays: Sequence[int], batches: Sequence[int], present: Setting
) -> list[Setting]:
    """Returns all combinations after the present setting, which the others must beat."""
    settings = [Setting(*values) for values in product(instances, threads, delays, batches)]
    return list(dict.fromkeys((present, *settings)))


def in_rounds(settings: Sequence[Setting], rounds: int, seed: int) -> Iterator[list[Setting]]:
    """Yields the settings in a new random order for each round, so that a slow phase of the machine hits all alike."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield [settings[index] for index in rng.permutation(len(settings))]


def choose(outcomes: Sequence[Outcome], budget_ms: float, present: Setting) -> Outcome | None:
    """Returns the outcome with the highest throughput of those whose p99 is within the budget; None if none is.

    If the present setting is within the budget, others count only if they were faster in every round.
    """
    within = [each for each in outcomes if not each.problem and each.p99_ms <= budget_ms]
    now = next((each for each in within if each.setting == present), None)
    if now is not None:
        present_rates = now.images_per_second
        within = [
            each
            for each in within
            if each is now or all(new > old for new, old in zip(each.images_per_second, present_rates, strict=True))
        ]
    return max(within, key=lambda each: each.throughput, default=None)


def setting_of(config: pb.ModelConfig) -> Setting:
    """Returns the setting in a configuration; raises ExportError if its model cannot be tuned."""
    if config.platform not in (ONNX, ENGINE):
        kind = config.platform or config.backend or "nothing"
        raise ExportError(
            f"{config.name} runs on {kind}: tune networks in ONNX or TensorRT, such as those that the recognizer calls"
        )
    if len(config.instance_group) > 1 or not config.max_batch_size or not config.HasField("dynamic_batching"):
        raise ExportError(
            f"{config.name} has several instance groups or no dynamic batching: tune a config.pbtxt "
            "written by hand yourself, or export the model again"
        )
    threads = config.parameters[THREADS].string_value if THREADS in config.parameters else "0"
    if not threads.isdecimal():
        raise ExportError(f"{THREADS} of {config.name} is {threads!r}: give a whole number")
    return Setting(
        instances=max(config.instance_group[0].count, 1) if config.instance_group else 1,
        threads=int(threads),
        queue_delay_us=config.dynamic_batching.max_queue_delay_microseconds,
        max_batch=config.max_batch_size,
    )


def setting_in(tuning: Mapping[str, Any]) -> Setting:
    """Returns the setting in the field `tuning` of a manifest, which is not empty."""
    return Setting(*(int(tuning[name]) for name in ("instances", "threads", "queue_delay_us", "max_batch")))


def grpc_threads_in(tuning: Mapping[str, Any]) -> str:
    """Returns the options for the number of gRPC threads that was tuned; empty for the server's default."""
    threads = tuning.get("grpc_threads")
    return f"--grpc-threads {threads}, triton.grpcThreads in the chart" if threads else ""


def retuned(config: pb.ModelConfig, setting: Setting) -> pb.ModelConfig:
    """Returns a configuration with another setting, and the rest unchanged."""
    new = deepcopy(config)
    new.max_batch_size = setting.max_batch
    batching = new.dynamic_batching
    batching.max_queue_delay_microseconds = setting.queue_delay_us
    preferred = [size for size in batching.preferred_batch_size if size < setting.max_batch]
    del batching.preferred_batch_size[:]
    batching.preferred_batch_size.extend(preferred)
    if not new.instance_group:
        new.instance_group.add()
    new.instance_group[0].count = setting.instances
    set_threads(new, setting.threads)
    policy = batching.default_queue_policy
    if policy.max_queue_size:  # or a full batch could never wait
        policy.max_queue_size = max(policy.max_queue_size, setting.max_batch)
    _warm_up_again(new, config.max_batch_size)
    for accelerator in new.optimization.execution_accelerators.gpu_execution_accelerator:
        if accelerator.name == TENSORRT and "trt_profile_max_shapes" in accelerator.parameters:
            shapes = profile(new)
            accelerator.parameters.update({f"trt_profile_{which}_shapes": shape for which, shape in shapes.items()})
    return new


def _warm_up_again(config: pb.ModelConfig, before: int) -> None:
    """Replaces the warm-up at the largest batch `before` by one at the present largest batch."""
    samples = list(config.model_warmup)
    if not samples:
        return
    largest = config.max_batch_size
    others = [each for each in samples if each.batch_size not in (1, before) and each.batch_size < largest]
    del config.model_warmup[:]
    for batch in sorted({1, largest}):
        warm_up = config.model_warmup.add(name=f"batch of {batch}", batch_size=batch)
        for name, value in samples[0].inputs.items():
            warm_up.inputs[name].CopyFrom(value)
    config.model_warmup.extend(others)
