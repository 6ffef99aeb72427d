"""How a new version is to be served: the defaults of its model, and what was tuned or chosen for the one before."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from export import detection_parity, parity
from export.config import Serving, Target, target_of
from export.errors import RepositoryError
from export.repository import champion, load_manifest, versions
from export.repository.promotion import own_config
from export.repository.store import open_store
from export.tuning import setting_in
from training.models import classifier, detector

# A scene is as much work as hundreds of crops: more time to wait, fewer that wait.
DEFAULTS = {
    classifier.MODEL_NAME: Serving(parity.MAX_BATCH),
    detector.MODEL_NAME: Serving(detection_parity.MAX_BATCH, queue_timeout_ms=10_000, max_queue=64),
}


@dataclass(frozen=True)
class Chosen:
    """How a version is to be served.

    Attributes:
        serving: all choices.
        tuning: for its manifest, what `signs export tune` measured for an earlier version and is kept; {} for nothing.
    """

    serving: Serving
    tuning: dict[str, Any] = field(default_factory=dict)


def choose_serving(
    repository: str | Path, model: str, target: Target | None = None, response_cache: bool | None = None
) -> Chosen:
    """Returns how a new version of a network is to be served.

    What is not asked for here is as in the version that is served now, the champion or else the newest: target and
    response cache; and, for the same target, what was tuned. All else is the default of this release.

    Args:
        repository: folder or address of all models.
        model: name of the network.
        target: what it is to run on.
        response_cache: whether Triton is to remember answers.

    Raises:
        RepositoryError: the repository cannot be read.
    """
    serving = replace(DEFAULTS[model], target=target or "auto", response_cache=bool(response_cache))
    store = open_store(repository)
    present = versions(store, model)
    if not present:
        return Chosen(serving)
    number = champion(store, model) or present[-1]
    config = own_config(store, model, number)
    if config is not None and target is None:
        serving = replace(serving, target=target_of(config))
    if config is not None and response_cache is None:
        serving = replace(serving, response_cache=config.response_cache.enable)
    try:
        tuning = load_manifest(store, model, number).tuning
    except RepositoryError:  # made by hand, or damaged: that is no reason not to publish a whole one
        return Chosen(serving)
    if not tuning or tuning.get("target") != serving.target:
        return Chosen(serving)
    setting = setting_in(tuning)
    serving = replace(serving, **asdict(setting), max_queue=max(serving.max_queue, setting.max_batch))
    return Chosen(serving, tuning | {"from_version": tuning.get("from_version", number)})
