"""Measures the drift watch: its rate of false alarms, and how many photographs it needs to detect a change.

The recognizer measures real scenes, some also darkened or blurred. Each trial divides these measurements at random into
a reference and live traffic, without common scenes, and compares them by the code for real traffic.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from export.reference import Reference, parse_reference
from monitoring.drift.features import CLASSES, Edges, count_by_scene
from monitoring.drift.limits import FLOOR, DriftLimits
from monitoring.drift.scores import Baseline, make_baselines, score_features
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
    """The measurements that the trials draw from."""

    real: Reference  # of the unaltered scenes
    altered: dict[str, Reference]  # of the scenes `chosen` after each alteration, by alteration
    chosen: Indices  # indices of the altered scenes


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
    measured: Measured, trials: int, limits: DriftLimits, seed: int = 0, progress: ProgressCallback = silent
) -> dict[str, Any]:
    """Runs all trials: `trials` windows for each rate of false alarms, a tenth of them for the delays.

    Returns:
        `data`, `models`, `scenes`, `signs`, `reference` (scenes in each), `window` (scenes, for the delays), `limits`,
        `false_alarms` and `delays`; the last two are lists of rows, see `_Trials`.
    """
    rng = np.random.default_rng(seed)
    classes = 1 + max(
        int(each.measurements.class_ids.max(initial=0)) for each in (measured.real, *measured.altered.values())
    )
    real = count_by_scene(measured.real.measurements, EDGES, classes)
    scenes = len(measured.real.measurements)
    size = scenes // 3
    windows = [window for window in (FLOOR, 2 * FLOOR, 4 * FLOOR) if window <= scenes - size]
    rows = []
    for name, window, frames, repeats in (
        *((f"{window} scenes", window, 1, 1) for window in windows),
        (f"{FLOOR} scenes, {FRAMES} frames of each", FLOOR, FRAMES, 1),
        (f"{FLOOR} scenes, {FRAMES} frames of each, --repeats {FRAMES}", FLOOR, FRAMES, FRAMES),
    ):
        calm = _Trials(real, size, window, replace(limits, repeats=repeats), rng, _about(f"no drift: {name}", progress))
        rows.append({"traffic": name} | calm.count_false_alarms(trials, frames))
    window, delays = windows[-1], []
    for name, (changed, of) in _changes(measured, real).items():
        drifting = _Trials(real, size, window, limits, rng, _about(f"drift: {name}", progress))
        delays.append({"change": name} | drifting.count_delays(max(1, trials // 10), changed, of))
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
        altered = count_by_scene(measured.altered[name].measurements, EDGES, real[CLASSES].shape[1])
        changes[label] = (altered, measured.chosen)
    without = np.flatnonzero(real[CLASSES][:, SPEED_LIMITS].sum(axis=1) == 0)
    if measured.real.data.startswith("gtsdb=") and len(without) >= FLOOR:
        changes["no speed limits"] = (real, without)
    return changes


@dataclass(frozen=True)
class _Trials:
    """Trials that divide the `real` scenes at random into a reference of `size` scenes and live traffic.

    A `window` has that many scenes of the live traffic; `report` receives the number of finished trials.
    """

    real: Tables
    size: int
    window: int
    limits: DriftLimits
    rng: np.random.Generator
    report: ProgressCallback

    def count_false_alarms(self, trials: int, frames: int) -> dict[str, Any]:
        """Counts the alarms in windows without a change, with `frames` photographs of each scene.

        Returns `photographs` in each window, `windows`, `alarms`, and `p_values`: the smallest corrected one of each.
        """
        alarms, least = 0, []
        for baselines, live in self._deal(trials):
            counts = {name: frames * rows[live[: self.window]].sum(axis=0) for name, rows in self.real.items()}
            scores = score_features(baselines, counts, EDGES, self.limits)
            alarms += any(score.is_firing for score in scores)
            least.append(min(score.p_value for score in scores if score.p_value is not None))
        return {"photographs": self.window * frames, "windows": trials, "alarms": alarms, "p_values": least}

    def count_delays(self, trials: int, changed: Tables, of: Indices) -> dict[str, Any]:
        """Counts the photographs between a change and the first alarm.

        A window slides from unchanged scenes over twice as many changed ones. A scene is repeated only after all
        others, because repeated scenes are not independent.

        Args:
            changed: tables of the scenes at `of`, or of all scenes.
            of: indices of the scenes after the change, ascending.

        Returns:
            `streams`, `delays` of the streams with an alarm, and `features`: the number of first alarms of each.
        """
        delays: list[int] = []
        features: Counter[str] = Counter()
        window = self.window
        is_whole = len(changed[CLASSES]) == len(self.real[CLASSES])
        for baselines, live in self._deal(trials):
            before, next_ones = live[:window], np.roll(live, -window)
            after = np.resize(next_ones[np.isin(next_ones, of)], 2 * window)
            after = after if is_whole else np.searchsorted(of, after)
            sums = {
                name: np.concatenate([np.zeros((1, rows.shape[1])), rows[before], changed[name][after]]).cumsum(axis=0)
                for name, rows in self.real.items()
            }
            for seen in range(STEP, 2 * window + 1, STEP):
                counts = {name: each[window + seen] - each[seen] for name, each in sums.items()}
                scores = score_features(baselines, counts, EDGES, self.limits)
                if firing := [score.feature for score in scores if score.is_firing]:
                    delays.append(seen)
                    features.update(firing)
                    break
        return {"streams": trials, "delays": delays, "features": dict(features)}

    def _deal(self, trials: int) -> Iterator[tuple[dict[str, Baseline], Indices]]:
        """Yields the reference and the indices of the live scenes of each trial."""
        for trial in range(trials):
            order = self.rng.permutation(len(self.real[CLASSES]))
            reference = {name: rows[order[: self.size]] for name, rows in self.real.items()}
            yield make_baselines(reference), order[self.size :]
            self.report("trials", trial + 1, trials)


def _about(what: str, progress: ProgressCallback) -> ProgressCallback:
    return lambda _, done, total: progress(what, done, total)
