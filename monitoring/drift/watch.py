"""One look at everything: each version's window in Prometheus, judged against the reference in the repository."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from export.errors import RepositoryError
from export.reference import FILE, Reference, parse_reference
from export.repository import load_manifest
from export.repository.store import Store, open_store
from monitoring.drift.features import FEATURES, count_by_scene
from monitoring.drift.judging import Score, judge, make_baselines
from monitoring.drift.limits import Limits
from monitoring.drift.prometheus import Prometheus, Window

RECOGNIZER = "sign_recognizer"

Verdict = Literal["drift", "no drift", "not judged"]


@dataclass(frozen=True)
class Finding:
    """What is said of one version.

    Attributes:
        version: as the metrics name it.
        scenes: in the window.
        scores: of every feature; empty without a reference.
        missing: why there is no reference to judge by; empty where there is one.
        busy: enough scenes to be judged.
    """

    version: str
    scenes: float
    scores: list[Score] = field(default_factory=list)
    missing: str = ""
    busy: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the scores come to."""
        if any(score.is_firing for score in self.scores):
            return "drift"
        return "no drift" if any(score.psi is not None for score in self.scores) else "not judged"


class Watch:
    """Looks at all versions that Prometheus knows, as often as it is asked.

    Args:
        prometheus: where their metrics are.
        repository: folder or address of the model repository that they are served from.
        limits: from when on a difference is drift.
    """

    def __init__(self, prometheus: Prometheus, repository: str | Path, limits: Limits) -> None:
        self._prometheus, self._limits = prometheus, limits
        self._store = open_store(repository)
        self._references: dict[str, Reference] = {}  # a version never changes, so that each is read once

    def look(self) -> list[Finding]:
        """Judges the window that ends now; versions in the order of their numbers.

        Raises:
            monitoring.errors.MonitoringError: Prometheus does not answer.
        """
        windows = self._prometheus.read_windows()
        return [self._judge(version, windows[version]) for version in sorted(windows, key=lambda v: (len(v), v))]

    def _judge(self, version: str, window: Window) -> Finding:
        busy = window.scenes >= self._limits.floor * self._limits.repeats
        try:
            if version not in self._references:
                self._references[version] = load_reference(self._store, version)
        except (RepositoryError, OSError) as error:
            return Finding(version, window.scenes, missing=str(error), busy=busy)
        measured = self._references[version].measurements
        classes = len(window.counts.get("sign_class", ())) or 1
        baselines = make_baselines(count_by_scene(measured, window.edges, classes))
        found = judge(baselines, window.counts, window.edges, self._limits, window.class_names)
        scores = {score.feature: score for score in found}
        scores |= {name: Score(name, 0.0, note=problem) for name, problem in window.problems.items()}
        return Finding(version, window.scenes, [scores[name] for name in FEATURES], busy=busy)


def load_reference(store: Store, version: str) -> Reference:
    """Reads the reference of a version of the recognizer.

    Raises:
        RepositoryError: the version is not in the repository, has none, or it is damaged.
        OSError: the repository cannot be reached.
    """
    if not version.isdecimal():
        raise RepositoryError(f"{version!r} is no version: the metrics were not published by a recognizer of ours")
    if int(version) not in store.versions(RECOGNIZER):
        raise RepositoryError(f"{store.name} has no {RECOGNIZER} {version}: give the --repository that is served")
    path = f"{RECOGNIZER}/{version}/{FILE}"
    manifest = load_manifest(store, RECOGNIZER, int(version))
    if FILE not in manifest.files:
        raise RepositoryError(
            f"{RECOGNIZER} {version} in {store.name} has no reference: publish the recognizer with `signs export "
            "recognizer --reference gtsdb=PATH`"
        )
    content = store.read(path)
    if hashlib.sha256(content).hexdigest() != manifest.files[FILE]["sha256"]:
        raise RepositoryError(f"{store.name}/{path} is not the file that was published: publish the recognizer again")
    return parse_reference(content, f"{store.name}/{path}")
