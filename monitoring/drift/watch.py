"""Compares each version's traffic in Prometheus with its reference in the repository."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from export.errors import RepositoryError
from export.reference import FILE, Reference, parse_reference
from export.repository import load_manifest
from export.repository.store import Store, open_store
from monitoring.drift.features import CLASSES, FEATURES, count_by_scene
from monitoring.drift.limits import DriftLimits
from monitoring.drift.prometheus import Prometheus, Window
from monitoring.drift.scores import Score, make_baselines, score_features

RECOGNIZER = "sign_recognizer"

Verdict = Literal["drift", "no drift", "not evaluated"]


@dataclass(frozen=True)
class Finding:
    """The result for one version."""

    version: str  # the label in the metrics
    scenes: float  # number of scenes in the window
    scores: list[Score] = field(default_factory=list)  # of each feature; empty without a reference
    missing: str = ""  # why there is no reference; empty if there is one
    busy: bool = False  # there are enough scenes for a result

    @property
    def verdict(self) -> Verdict:
        """The overall result."""
        if any(score.is_firing for score in self.scores):
            return "drift"
        return "no drift" if any(score.psi is not None for score in self.scores) else "not evaluated"


class Watch:
    """Checks all versions that Prometheus knows for drift, by the references in the served model repository."""

    def __init__(self, prometheus: Prometheus, repository: str | Path, limits: DriftLimits) -> None:
        self._prometheus, self._limits = prometheus, limits
        self._store = open_store(repository)
        self._references: dict[str, Reference] = {}  # by version, which never changes

    def look(self) -> list[Finding]:
        """Returns a finding for each version, by number, in the window that ends now.

        Raises monitoring.errors.MonitoringError if Prometheus does not answer.
        """
        windows = self._prometheus.read_windows()
        return [self._evaluate(version, windows[version]) for version in sorted(windows, key=lambda v: (len(v), v))]

    def _evaluate(self, version: str, window: Window) -> Finding:
        busy = window.scenes >= self._limits.floor * self._limits.repeats
        try:
            if version not in self._references:
                self._references[version] = load_reference(self._store, version)
        except (RepositoryError, OSError) as error:
            return Finding(version, window.scenes, missing=str(error), busy=busy)
        measured = self._references[version].measurements
        classes = len(window.counts.get(CLASSES, ())) or 1
        baselines = make_baselines(count_by_scene(measured, window.edges, classes))
        found = score_features(baselines, window.counts, window.edges, self._limits, window.class_names)
        scores = {score.feature: score for score in found}
        scores |= {name: Score(name, 0.0, note=problem) for name, problem in window.problems.items()}
        return Finding(version, window.scenes, [scores[name] for name in FEATURES], busy=busy)


def load_reference(store: Store, version: str) -> Reference:
    """Reads the reference of a version of the recognizer.

    Raises:
        RepositoryError: the version is not in the repository, or its reference is missing or damaged.
        OSError: the repository cannot be reached.
    """
    if not version.isdecimal():
        raise RepositoryError(f"{version!r} is not a version: the metrics are not those of this project's recognizer")
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
