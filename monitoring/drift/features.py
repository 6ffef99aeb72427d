"""The seven features whose distributions are compared, and their counts from measurements."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from export.reference import SCENE_MEASURES, SIGN_MEASURES, Measurements
from monitoring.drift.statistics import Counts

EMPTY, CLASSES = "empty_scenes", "sign_class"
HISTOGRAMS = (*SCENE_MEASURES, *SIGN_MEASURES)
FEATURES = (*SCENE_MEASURES, EMPTY, *SIGN_MEASURES, CLASSES)
OF_SCENES = (*SCENE_MEASURES, EMPTY)  # the other features count signs

Edges = tuple[float, ...]
NO_NAMES: Mapping[int, str] = MappingProxyType({})


def count_by_scene(measurements: Measurements, edges: Mapping[str, Edges], classes: int) -> dict[str, Counts]:
    """Sorts measurements into the buckets of a server's metrics.

    Args:
        edges: upper, inclusive edges of each histogram's buckets, without infinity.
        classes: number of classes; a higher class id counts as the last one.

    Returns:
        float64 [scenes, buckets] for each feature. The buckets of a histogram are in the order of its edges, those of
        `empty_scenes` are scenes with and without signs, those of `sign_class` are class ids. Histograms without edges
        are left out.
    """
    everyone = np.arange(len(measurements))
    signs_of = np.bincount(measurements.scene_of, minlength=len(measurements))
    buckets = {EMPTY: (everyone, (signs_of == 0).astype(np.int64), 2)}
    buckets[CLASSES] = (measurements.scene_of, measurements.class_ids.clip(0, classes - 1), classes)
    for name in (each for each in HISTOGRAMS if each in edges):
        is_scenes = name in SCENE_MEASURES
        values = (measurements.scenes if is_scenes else measurements.signs)[name]
        # "left": in Prometheus an edge belongs to the bucket below it.
        bucket = np.searchsorted(edges[name], values, side="left")
        buckets[name] = (everyone if is_scenes else measurements.scene_of, bucket, len(edges[name]) + 1)
    return {name: _table(len(measurements), *each) for name, each in buckets.items()}


def describe_group(
    feature: str, edges: Edges | None, members: npt.NDArray[np.int64], class_names: Mapping[int, str] = NO_NAMES
) -> str:
    """Names a group of buckets, such as "96 to 104".

    `edges` are those of its histogram, None without one; `members` are its buckets, ascending; `class_names` are by id.
    """
    first, last = int(members[0]), int(members[-1])
    if feature == EMPTY:
        return ("scenes with signs", "scenes without signs")[first]
    if len(members) != last - first + 1:
        return "all others"
    if edges is None:
        return class_names.get(first, f"class {first}") if first == last else f"classes {first} to {last}"
    if first == 0:
        return f"up to {edges[last]:g}"
    return f"over {edges[first - 1]:g}" if last == len(edges) else f"{edges[first - 1]:g} to {edges[last]:g}"


def _table(scenes: int, rows: npt.NDArray[np.int64], buckets: npt.NDArray[np.int64], width: int) -> Counts:
    table = np.zeros((scenes, width))
    np.add.at(table, (rows, buckets), 1)
    return table
