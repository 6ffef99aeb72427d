"""Measures the drift watch: its rate of false alarms, and how many photographs it needs to detect a change.

The recognizer measures real scenes, some also darkened or blurred. Each trial divides these measurements at random into
a reference and live traffic, without common scenes, and compares them by the code for real traffic.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from export.reference import Measurements, Reference, parse_reference
from monitoring.drift.features import CLASSES, Edges, count_by_scene
from monitoring.drift.limits import FLOOR, Limits
from monitoring.drift.scores import Baseline, Score, make_baselines, score_features
from monitoring.drift.statistics import Counts
from monitoring.errors import MonitoringError
from serving.recognizer.buckets import BUCKETS
from traffic_signs.atomic_write import atomic_write
from traffic_signs.progress import ProgressCallback, silent

if TYPE_CHECKING:
    from export.local_recognizer import LocalRecognizer
    from training.data.records import Dataset

REAL = "real"
ALTERATIONS: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "dark50": ("half as bright", lambda photograph: photograph.point(lambda value: value * 0.5)),
    "dark80": ("a fifth darker", lambda photograph: photograph.point(lambda value: value * 0.8)),
    "blur1": ("blurred by 1 pixel", lambda photograph: photograph.filter(ImageFilter.GaussianBlur(1))),
    "blur2": ("blurred by 2 pixels", lambda photograph: photograph.filter(ImageFilter.GaussianBlur(2))),
}
SPEED_LIMITS = range(9)  # class ids
STEP = 5  # photographs between two comparisons
FRAMES = 5  # photographs of each scene in a video

EDGES: dict[str, Edges] = {name: tuple(map(float, edges)) for name, edges in BUCKETS.items()}

Indices = npt.NDArray[np.int64]
Tables = Mapping[str, Counts]  # [scenes, buckets] of each feature


@dataclass(frozen=True)
class Measured:
    """The measurements that the trials draw from.

    Attributes:
        real: measurements of the unaltered scenes.
        altered: measurements of the scenes `chosen` after each alteration, by alteration.
        chosen: indices of the altered scenes.
    """

    real: Reference
    altered: dict[str, Reference]
    chosen: Indices


def measure(
    recognizer: "LocalRecognizer",
    dataset: "Dataset",
    most_altered: int,
    output: Path,
    progress: ProgressCallback = silent,
) -> Measured:
    """Measures every scene of a data set, and `most_altered` also after each alteration; writes them to `output`.

    Raises:
        MonitoringError: there are too few scenes.
        export.errors.ExportError: the data set has no scenes.
        training.errors.DataError: a scene cannot be read.
    """
    from export.drift_reference import measure_scenes

    samples = list(dataset.samples)
    _check_number(len(samples), dataset.name)
    chosen = choose(len(samples), most_altered)
    some = [samples[index] for index in chosen]
    work = {REAL: (samples, None)} | {name: (some, alter) for name, (_, alter) in ALTERATIONS.items()}
    found = {}
    for name, (which, alter) in work.items():
        report = _about(f"measuring: {name}", progress)
        measurements, fingerprint = measure_scenes(recognizer, dataset, which, report, alter)
        threshold = recognizer.score_threshold
        found[name] = Reference(dataset.name, "all", fingerprint, recognizer.models, threshold, measurements)
        with atomic_write(output / f"{name}.json") as partial:
            partial.write_bytes(found[name].to_bytes())
    return Measured(found.pop(REAL), found, chosen)


def load_measured(folder: Path) -> Measured:
    """Reads the measurements that `measure` wrote to a folder.

    Raises:
        MonitoringError: a file is missing.
        export.errors.RepositoryError: a file is damaged.
    """
    found = {}
    for name in (REAL, *ALTERATIONS):
        path = folder / f"{name}.json"
        if not path.is_file():
            raise MonitoringError(f"{path} is missing: give the --output of an earlier study, or measure with --data")
        found[name] = parse_reference(path.read_bytes(), str(path))
    real = found.pop(REAL)
    _check_number(len(real.measurements), real.data)
    altered = {len(each.measurements) for each in found.values()}
    if len(altered) != 1:
        raise MonitoringError(f"the files in {folder} are not of one study: measure with --data")
    return Measured(real, found, choose(len(real.measurements), altered.pop()))


def choose(scenes: int, most: int) -> Indices:
    """Returns the indices of the scenes to alter: a random choice that is always the same."""
    return np.sort(np.random.default_rng(0).permutation(scenes)[:most])


def _check_number(scenes: int, data: str) -> None:
    if scenes < 3 * FLOOR:
        raise MonitoringError(f"{data} has {scenes} scenes: a third becomes the reference, which takes {3 * FLOOR}")


def study(
    measured: Measured, trials: int, limits: Limits, seed: int = 0, progress: ProgressCallback = silent
) -> dict[str, Any]:
    """Runs all trials.

    Args:
        trials: number of windows for each rate of false alarms; the delays use a tenth.

    Returns:
        `data`, `models`, `scenes`, `signs`, `reference` (scenes in each), `window` (scenes, for the delays), `limits`,
        `false_alarms` and `delays`; the last two are lists of rows, see `_false_alarms` and `_delays`.
    """
    rng = np.random.default_rng(seed)
    classes = 1 + max(
        int(each.measurements.class_ids.max(initial=0)) for each in (measured.real, *measured.altered.values())
    )
    real = _tables(measured.real.measurements, classes)
    scenes = len(measured.real.measurements)
    size = scenes // 3
    windows = [window for window in (FLOOR, 2 * FLOOR, 4 * FLOOR) if window <= scenes - size]
    rows = []
    for name, window, frames, repeats in (
        *((f"{window} scenes", window, 1, 1) for window in windows),
        (f"{FLOOR} scenes, {FRAMES} frames of each", FLOOR, FRAMES, 1),
        (f"{FLOOR} scenes, {FRAMES} frames of each, --repeats {FRAMES}", FLOOR, FRAMES, FRAMES),
    ):
        report = _about(f"no drift: {name}", progress)
        held = replace(limits, repeats=repeats)
        rows.append({"traffic": name} | _false_alarms(real, size, window, frames, trials, held, rng, report))
    window, few, delays = windows[-1], max(1, trials // 10), []
    for name, (changed, of) in _changes(measured, real).items():
        report = _about(f"drift: {name}", progress)
        delays.append({"change": name} | _delays(real, changed, of, size, window, few, limits, rng, report))
    return {
        "data": measured.real.data,
        "models": measured.real.models,
        "scenes": scenes,
        "signs": len(measured.real.measurements.class_ids),
        "altered": len(measured.chosen),
        "reference": size,
        "window": window,
        "limits": asdict(limits),
        "false_alarms": rows,
        "delays": delays,
    }


def _changes(measured: Measured, real: Tables) -> dict[str, tuple[Tables, Indices]]:
    """Returns the changes by name: the counts after the change, and the indices of their scenes."""
    changes: dict[str, tuple[Tables, Indices]] = {"nothing": (real, np.arange(len(real[CLASSES])))}
    for name, (label, _) in ALTERATIONS.items():
        changes[label] = (_tables(measured.altered[name].measurements, real[CLASSES].shape[1]), measured.chosen)
    without = np.flatnonzero(real[CLASSES][:, SPEED_LIMITS].sum(axis=1) == 0)
    if measured.real.data.startswith("gtsdb=") and len(without) >= FLOOR:
        changes["no speed limits"] = (real, without)
    return changes


def _false_alarms(
    real: Tables,
    size: int,
    window: int,
    frames: int,
    trials: int,
    limits: Limits,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> dict[str, Any]:
    """Counts the alarms in windows without a change.

    Returns:
        `photographs` in each window, `windows`, `alarms`, and `p_values`: the smallest corrected one of each window.
    """
    alarms, least = 0, []
    for trial in range(trials):
        baselines, live = _deal(real, size, rng)
        counts = {name: frames * rows[live[:window]].sum(axis=0) for name, rows in real.items()}
        scores = _scores(baselines, counts, limits)
        alarms += any(score.is_firing for score in scores)
        least.append(min(score.p_value for score in scores if score.p_value is not None))
        report("trials", trial + 1, trials)
    return {"photographs": window * frames, "windows": trials, "alarms": alarms, "p_values": least}


def _delays(
    real: Tables,
    changed: Tables,
    of: Indices,
    size: int,
    window: int,
    trials: int,
    limits: Limits,
    rng: np.random.Generator,
    report: ProgressCallback,
) -> dict[str, Any]:
    """Counts the photographs between a change and the first alarm.

    A window slides from unchanged scenes over twice as many changed ones. A scene is repeated only after all others,
    because repeated scenes are not independent.

    Args:
        changed: tables of the scenes at `of`, or of all scenes.
        of: indices of the scenes after the change, ascending.
        size: number of scenes in the reference.
        window: number of scenes in the window.

    Returns:
        `streams`, `delays` of the streams with an alarm, and `features`: the number of first alarms of each feature.
    """
    delays: list[int] = []
    features: dict[str, int] = {}
    is_whole = len(changed[CLASSES]) == len(real[CLASSES])
    for trial in range(trials):
        baselines, live = _deal(real, size, rng)
        before, next_ones = live[:window], np.roll(live, -window)
        after = np.resize(next_ones[np.isin(next_ones, of)], 2 * window)
        after = after if is_whole else np.searchsorted(of, after)
        sums = {
            name: np.concatenate([np.zeros((1, rows.shape[1])), rows[before], changed[name][after]]).cumsum(axis=0)
            for name, rows in real.items()
        }
        for seen in range(STEP, 2 * window + 1, STEP):
            counts = {name: each[window + seen] - each[seen] for name, each in sums.items()}
            firing = [score.feature for score in _scores(baselines, counts, limits) if score.is_firing]
            if firing:
                delays.append(seen)
                features |= {name: features.get(name, 0) + 1 for name in firing}
                break
        report("trials", trial + 1, trials)
    return {"streams": trials, "delays": delays, "features": features}


def _about(what: str, progress: ProgressCallback) -> ProgressCallback:
    return lambda _, done, total: progress(what, done, total)


def _deal(real: Tables, size: int, rng: np.random.Generator) -> tuple[dict[str, Baseline], Indices]:
    """Divides the scenes at random into a reference of `size` scenes and live traffic."""
    order = rng.permutation(len(real[CLASSES]))
    return make_baselines({name: rows[order[:size]] for name, rows in real.items()}), order[size:]


def _scores(baselines: Mapping[str, Baseline], counts: Mapping[str, Counts], limits: Limits) -> Sequence[Score]:
    return score_features(baselines, counts, EDGES, limits)


def _tables(measurements: Measurements, classes: int) -> dict[str, Counts]:
    return count_by_scene(measurements, EDGES, classes)
