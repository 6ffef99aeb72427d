"""How a new version is to be served: the defaults of its model, and what was tuned or chosen for the one before."""

from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from export import detection_parity, parity
from export.config import Serving, Target, target_of
from export.errors import RepositoryError
from export.repository import champion, load_manifest, versions
from export.repository.promotion import own_config
from export.repository.store import open_store
from export.tuning.plan import setting_in
from training.models import classifier, detector

DEFAULTS = {
    classifier.MODEL_NAME: Serving(parity.MAX_BATCH),
    detector.MODEL_NAME: Serving(detection_parity.MAX_BATCH),
}


@dataclass(frozen=True)
class ServingOverrides:
    """What somebody asks for; None is as it was. The fields are those of `Serving`."""

    target: Target | None = None
    response_cache: bool | None = None
    max_queue: int | None = None
    queue_timeout_ms: int | None = None


@dataclass(frozen=True)
class ServingPlan:
    """How a version is to be served.

    Attributes:
        serving: all choices.
        tuning: for its manifest, what `signs export tune` measured for an earlier version and is kept; {} for nothing.
    """

    serving: Serving
    tuning: dict[str, Any] = field(default_factory=dict)


def choose_serving(repository: str | Path, model: str, asked: ServingOverrides | None = None) -> ServingPlan:
    """Returns how a new version of a network is to be served.

    What is not asked for is as in the version that is served now, the champion or else the newest: target, response
    cache and limits of the queue; and, for the same target, what was tuned. All else is the default of this release.

    Args:
        repository: folder or address of all models.
        model: name of the network.
        asked: what is asked for.

    Raises:
        ExportError: the repository cannot be read, or what is asked for makes no sense.
    """
    store = open_store(repository)
    present = versions(store, model)
    number = champion(store, model) or present[-1] if present else None
    serving, tuning = DEFAULTS[model], {}
    if number is not None:
        config = own_config(store, model, number)
        if config is not None:
            serving = _as_now(serving, config)
        with suppress(RepositoryError):  # made by hand, or damaged: no reason not to publish a whole one
            tuning = load_manifest(store, model, number).tuning
    serving = replace(
        serving, **{name: value for name, value in asdict(asked or ServingOverrides()).items() if value is not None}
    )
    if not tuning or tuning.get("target") != serving.target:
        return ServingPlan(serving)
    setting = setting_in(tuning)
    wider = max(serving.max_queue, setting.max_batch) if serving.max_queue else 0
    serving = replace(serving, **asdict(setting), max_queue=wider)
    return ServingPlan(serving, tuning | {"from_version": tuning.get("from_version", number)})


def _as_now(serving: Serving, config: pb.ModelConfig) -> Serving:
    policy = config.dynamic_batching.default_queue_policy
    return replace(
        serving,
        target=target_of(config),
        response_cache=config.response_cache.enable,
        max_queue=max(policy.max_queue_size, serving.max_batch) if policy.max_queue_size else 0,
        queue_timeout_ms=policy.default_timeout_microseconds // 1000,
    )
