"""How a new version is served: the defaults of its kind, and what was tuned or chosen for the previous one."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from export.config import Serving, network_config, target_of
from export.errors import RepositoryError
from export.hardware_fit import CORES, SMALLEST, cpu_name, share_out, stored_name
from export.kinds import ModelKind, find_kind
from export.repository import champion, load_manifest, versions
from export.repository.configuration import GPU, uses_tensorrt
from export.repository.policy import CONFIG, config_path
from export.repository.promotion import own_configs
from export.repository.store import open_store
from export.settings import ServingOverrides
from export.tuning.plan import setting_in
from training.checkpoint import CheckpointInfo

# One instance computes while the images of the other are transferred.
ON_GPU: dict[str, Any] = {"instances": 2, "threads": 0, "queue_delay_us": 200}


@dataclass(frozen=True)
class ServingPlan:
    """How a version is served."""

    servings: dict[str, Serving]  # by the name of the configuration; "" is config.pbtxt
    # For its manifest, the results of `signs export tune` that still apply; {} for none.
    tuning: dict[str, Any] = field(default_factory=dict)

    @property
    def serving(self) -> Serving:
        """The choices of config.pbtxt."""
        return self.servings[""]

    @property
    def fixed_batches(self) -> tuple[int, ...]:
        """The fixed batches of the file for GPUs; () for no such file."""
        return next((each.fixed_batches for each in self.servings.values() if each.fixed_batches), ())

    @property
    def max_batch(self) -> int:
        """The largest batch that is served on any hardware."""
        return max(each.max_batch for each in self.servings.values())

    def configs(self, info: CheckpointInfo, int8: bool = False) -> dict[str, pb.ModelConfig]:
        """Returns the configurations of a network, with or without an int8 file, by path, config.pbtxt first."""
        kind, (height, width), classes = find_kind(info.model), info.input_size, len(info.class_names)
        return {
            config_path(name): network_config(kind, (height, width), classes, serving)
            for name, serving in (self.servings | int8_series(self.servings, int8)).items()
        }


def choose_serving(repository: str | Path, model: str, asked: ServingOverrides | None = None) -> ServingPlan:
    """Returns how a new version of a network is served.

    What `asked` leaves open is as in the champion, or else the newest version: target, response cache and limits of the
    queue and, for the same hardware, what was tuned. The rest are the defaults of this release.

    Raises:
        ExportError: the repository cannot be read, or a value is out of range.
    """
    store = open_store(repository)
    present = versions(store, model)
    number = champion(store, model) or present[-1] if present else None
    kind = find_kind(model)
    serving, tuning = default_serving(kind), {}
    if number is not None:
        serving = _as_now(serving, own_configs(store, model, number))
        with suppress(RepositoryError):  # made by hand, or damaged
            tuning = load_manifest(store, model, number).tuning
    serving = replace(
        serving, **{name: value for name, value in asdict(asked or ServingOverrides()).items() if value is not None}
    )
    tuned_for = ("gpu" if tuning["target"] == "gpu" else "cpu") if "target" in tuning else ""
    if tuned_for and serving.target not in ("auto", tuned_for):
        tuned_for, tuning = "", {}
    servings = {}
    if serving.target != "gpu":
        servings = {"": _tuned(serving, tuning)} if tuned_for == "cpu" else _on_cpus(kind, serving)
    if serving.target != "cpu":
        name = GPU if servings else ""
        servings[name] = on_gpu(kind, _tuned(serving, tuning) if tuned_for == "gpu" else replace(serving, **ON_GPU))
    return ServingPlan(servings, tuning | {"from_version": tuning.get("from_version", number)} if tuned_for else {})


def default_serving(kind: ModelKind, cores: int = SMALLEST) -> Serving:
    """Returns the defaults for CPUs, without a queue delay: requests that wait already form the batch."""
    instances, threads = share_out(cores)
    preferred = max(kind.images_on_cpus // instances, 1)
    return Serving(kind.max_batch, preferred, queue_delay_us=0, instances=instances, threads=threads)


def int8_series(servings: Mapping[str, Serving], int8: bool) -> dict[str, Serving]:
    """Returns the configurations for CPUs on which int8 pays, by name, given the others.

    Without an int8 file they are the same as the others: Triton takes one name for all models, and would serve a model
    without a configuration of that name for two cores.
    """
    made = {}
    for cores in CORES:
        name = stored_name(cpu_name(cores))
        if int8 or (name and name in servings):
            made[cpu_name(cores, int8=True)] = replace(servings.get(name, servings[""]), int8=int8)
    return made


def on_gpu(kind: ModelKind, serving: Serving) -> Serving:
    """Returns the settings for a GPU, with fixed batches up to the largest that is served."""
    fixed = () if serving.tensorrt else kind.fixed_batches(serving.max_batch)
    return replace(serving, target="gpu", fixed_batches=fixed, preferred_batch=0)


def _on_cpus(kind: ModelKind, serving: Serving) -> dict[str, Serving]:
    servings = {}
    for cores in CORES:
        fit = default_serving(kind, cores)
        servings[stored_name(cpu_name(cores))] = replace(
            serving, instances=fit.instances, threads=fit.threads, preferred_batch=fit.preferred_batch
        )
    return servings


def _tuned(serving: Serving, tuning: dict[str, Any]) -> Serving:
    setting = setting_in(tuning)
    wider = max(serving.max_queue, setting.max_batch) if serving.max_queue else 0
    return replace(serving, **asdict(setting), max_queue=wider)


def _as_now(serving: Serving, configs: dict[str, pb.ModelConfig]) -> Serving:
    if CONFIG not in configs:
        return serving
    config = configs[CONFIG]
    policy = config.dynamic_batching.default_queue_policy
    return replace(
        serving,
        target="auto" if config_path(GPU) in configs else target_of(config),
        tensorrt=any(uses_tensorrt(each) for each in configs.values()),
        preferred_batch=next(iter(config.dynamic_batching.preferred_batch_size), 0),
        response_cache=config.response_cache.enable,
        max_queue=max(policy.max_queue_size, serving.max_batch) if policy.max_queue_size else 0,
        queue_timeout_ms=policy.default_timeout_microseconds // 1000,
    )
