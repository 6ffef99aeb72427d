"""The recognizer's Prometheus metrics, published at Triton's own endpoint, which metrics.md explains."""

from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from .buckets import BUCKETS, PREFIX
from .recognition import Signs
from .scene import Scene
from .settings import Settings

# Why a request failed: the image, the request, one of the two models, or a bug of the recognizer.
REASONS = (
    "unknown_format",
    "damaged",
    "too_large",
    "bad_request",
    "sign_detector",
    "sign_classifier",
    "internal",
)
HELP = {
    "scenes_total": "Photographs answered.",
    "empty_scenes_total": "Photographs answered that showed no sign.",
    "signs_total": "Signs found, by their most probable class.",
    "unknown_signs_total": "Signs answered as unknown, since the classifier was not sure enough.",
    "category_mismatches_total": "Signs whose class is not of the category that the detector saw.",
    "failures_total": "Requests without an answer, by reason.",
    "detection_score": "Score of each sign found.",
    "class_score": "Probability of the class of each sign found.",
    "scene_brightness": "Mean luma of each photograph, 0 to 255.",
    "scene_sharpness": "Variance of the Laplacian of each photograph, scaled to 480 pixels.",
    "sign_size_pixels": "Square root of the area of each sign, in pixels of the detector's input.",
}


class Metrics:
    """The metrics of one version.

    Every series exists from the start, so that `rate()` counts the first event.

    Args:
        version: version of the model, for the label.
        settings: the version's settings, which name the classes.
    """

    def __init__(self, version: str, settings: Settings) -> None:
        self._categories = settings.class_categories
        label = {"version": version}
        # Triton deletes a family when nothing refers to it.
        self._families: list[Any] = []
        self._scenes = self._counter("scenes_total").Metric(labels=label)
        self._empty = self._counter("empty_scenes_total").Metric(labels=label)
        self._unknown = self._counter("unknown_signs_total").Metric(labels=label)
        self._mismatches = self._counter("category_mismatches_total").Metric(labels=label)
        failures, signs = self._counter("failures_total"), self._counter("signs_total")
        self._failures = {reason: failures.Metric(labels={**label, "reason": reason}) for reason in REASONS}
        self._signs = [
            signs.Metric(labels={**label, "class_id": str(number), "name": name})
            for number, name in enumerate(settings.class_names)
        ]
        self._histograms = {
            name: self._family(name, pb_utils.MetricFamily.HISTOGRAM).Metric(labels=label, buckets=list(edges))
            for name, edges in BUCKETS.items()
        }

    def answered(self, scene: Scene, signs: Signs, known: npt.NDArray[np.bool_]) -> None:
        """Records a photograph and its signs; `known`, bool [n], marks the signs that are not answered as unknown.

        Unknown signs also count under their most probable class: drift is computed from the shares of the classes,
        which must not depend on a threshold.
        """
        self._scenes.increment(1)
        if not len(signs.boxes):
            self._empty.increment(1)
        if not known.all():
            self._unknown.increment(int((~known).sum()))
        self._observe("scene_brightness", scene.brightness)
        self._observe("scene_sharpness", scene.sharpness)
        self._observe("detection_score", signs.detection_scores)
        self._observe("class_score", signs.class_scores)
        self._observe("sign_size_pixels", signs.sizes)
        for class_id, category in zip(signs.class_ids, signs.categories, strict=True):
            self._signs[class_id].increment(1)
            if self._categories[class_id] != category:
                self._mismatches.increment(1)

    def failed(self, reason: str) -> None:
        """Records a failed request; `reason` is one of REASONS."""
        self._failures[reason].increment(1)

    def _observe(self, name: str, values: npt.ArrayLike) -> None:
        for value in np.ravel(values).tolist():
            self._histograms[name].observe(value)

    def _counter(self, name: str) -> Any:
        return self._family(name, pb_utils.MetricFamily.COUNTER)

    def _family(self, name: str, kind: Any) -> Any:
        family = pb_utils.MetricFamily(name=PREFIX + name, description=HELP[name], kind=kind)
        self._families.append(family)
        return family
