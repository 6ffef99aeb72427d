"""reference.json: what a recognizer measured on typical scenes, against which drift is measured later.

It has every measurement, not counts, so that a comparison can use the server's buckets and knows which signs are in one
scene. It is a file of the version, so checksum and signature cover it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.errors import RepositoryError

FILE = "reference.json"
FORM = 1  # of the file; others are refused
# The names of the server's histograms, without their prefix.
SCENE_MEASURES = ("scene_brightness", "scene_sharpness")
SIGN_MEASURES = ("detection_score", "class_score", "sign_size_pixels")

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measurements:
    """What the recognizer's metrics observe in scenes."""

    scenes: Mapping[str, Values]  # each of SCENE_MEASURES of each scene, float64 [scenes]
    signs: Mapping[str, Values]  # each of SIGN_MEASURES of each sign found, float64 [signs]
    class_ids: Numbers  # of each sign, int64 [signs]
    scene_of: Numbers  # index of the scene of each sign, int64 [signs], ascending

    def __len__(self) -> int:
        return len(self.scenes[SCENE_MEASURES[0]])

    def select(self, indices: Numbers) -> "Measurements":
        """Returns the scenes at `indices`, in that order; an index may be repeated."""
        ends = np.searchsorted(self.scene_of, np.arange(len(self) + 1))
        parts = [np.arange(ends[index], ends[index + 1]) for index in indices.tolist()]
        chosen = np.concatenate([np.empty(0, np.int64), *parts])
        return Measurements(
            {name: values[indices] for name, values in self.scenes.items()},
            {name: values[chosen] for name, values in self.signs.items()},
            self.class_ids[chosen],
            np.repeat(np.arange(len(indices)), [len(part) for part in parts]),
        )


@dataclass(frozen=True)
class Reference:
    """The measurements of one version, and their source."""

    data: str
    split: str
    fingerprint: str  # sha256 over names and image bytes of the scenes
    models: dict[str, int]  # versions of detector and classifier, by model
    score_threshold: float  # lowest detection score that counted as a sign
    measurements: Measurements

    def to_bytes(self) -> bytes:
        """Returns the content of reference.json."""
        facts = {name: value for name, value in vars(self).items() if name != "measurements"}
        scenes, signs = (  # six digits are more than a bucket distinguishes
            {name: [float(f"{value:.6g}") for value in each.tolist()] for name, each in group.items()}
            for group in (self.measurements.scenes, self.measurements.signs)
        )
        signs |= {name: getattr(self.measurements, name).tolist() for name in ("class_ids", "scene_of")}
        # The facts a line each, since people read them; the long lists in the last line.
        text = json.dumps({"form": FORM, **facts}, indent=2).removesuffix("\n}")
        lists = json.dumps({"scenes": scenes, "signs": signs})
        return f"{text},\n  {lists[1:]}\n".encode()


def parse_reference(content: bytes, where: str) -> Reference:
    """Reads the content of a reference.json; raises RepositoryError if it is damaged or of another form."""
    try:
        values = json.loads(content)
        if values["form"] != FORM:
            raise ValueError(f"its form is {values['form']!r}, this release reads {FORM}")
        signs = values["signs"]
        measurements = Measurements(
            {name: _floats(values["scenes"][name]) for name in SCENE_MEASURES},
            {name: _floats(signs[name]) for name in SIGN_MEASURES},
            *(np.array(signs[name], np.int64) for name in ("class_ids", "scene_of")),
        )
        _check(measurements)
        facts = {name: values[name] for name in ("data", "split", "fingerprint", "models", "score_threshold")}
        return Reference(**facts, measurements=measurements)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise RepositoryError(
            f"{where} cannot be read ({type(error).__name__}: {error}): publish the recognizer again, "
            "`signs export recognizer --reference gtsdb=PATH`"
        ) from error


def _check(measurements: Measurements) -> None:
    """Raises ValueError for lists that do not fit each other."""
    signs = (*measurements.signs.values(), measurements.class_ids, measurements.scene_of)
    if len({len(values) for values in measurements.scenes.values()}) != 1 or len({len(each) for each in signs}) != 1:
        raise ValueError("its lists differ in length")
    scene_of = measurements.scene_of
    if len(scene_of) and (scene_of[0] < 0 or scene_of[-1] >= len(measurements) or (np.diff(scene_of) < 0).any()):
        raise ValueError("a sign is in a scene that does not exist")


def _floats(values: Any) -> Values:
    numbers = np.array(values, np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError("a measurement is not a number")
    return numbers
