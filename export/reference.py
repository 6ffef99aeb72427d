"""reference.json: what a recognizer measured on scenes like those it is meant for, to see later whether they changed.

It holds every measurement, not counts: whoever compares puts them into the buckets that the server has, and knows
which signs stood in one scene. It lies among the files of a version, under its checksum and signature.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.errors import RepositoryError

FILE = "reference.json"
FORM = 1  # of the file; another is refused
# As the server's histograms are called, without their prefix.
SCENE_MEASURES = ("scene_brightness", "scene_sharpness")
SIGN_MEASURES = ("detection_score", "class_score", "sign_size_pixels")

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measurements:
    """What the recognizer's metrics observe of scenes.

    Attributes:
        scenes: each of SCENE_MEASURES of each scene, float64 [scenes].
        signs: each of SIGN_MEASURES of each sign found, float64 [signs].
        class_ids: of each sign, int64 [signs].
        scene_of: index of the scene that each sign stands in, int64 [signs], ascending.
    """

    scenes: Mapping[str, Values]
    signs: Mapping[str, Values]
    class_ids: Numbers
    scene_of: Numbers

    def __len__(self) -> int:
        return len(self.scenes[SCENE_MEASURES[0]])

    def select(self, indices: Numbers) -> "Measurements":
        """Returns the scenes at `indices`, in that order; one may be there more than once."""
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
    """The measurements of one version, and what they were taken on.

    Attributes:
        fingerprint: sha256 over names and image bytes of the scenes.
        models: version of the detector and of the classifier that were asked, by model.
        score_threshold: lowest detection score that counted as a sign.
    """

    data: str
    split: str
    fingerprint: str
    models: dict[str, int]
    score_threshold: float
    measurements: Measurements

    def to_bytes(self) -> bytes:
        """Returns the content of reference.json."""
        facts = {name: value for name, value in vars(self).items() if name != "measurements"}
        lists = {
            group: {name: _rounded(values) for name, values in getattr(self.measurements, group).items()}
            for group in ("scenes", "signs")
        }
        lists["signs"] |= {name: getattr(self.measurements, name).tolist() for name in ("class_ids", "scene_of")}
        # A line for each list: they are long, and people look at the facts.
        text = json.dumps({"form": FORM, **facts}, indent=2).removesuffix("\n}")
        for group, values in lists.items():
            lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(each)}" for name, each in values.items())
            text += f',\n  "{group}": {{\n{lines}\n  }}'
        return (text + "\n}\n").encode()


def parse_reference(content: bytes, where: str) -> Reference:
    """Reads the content of a reference.json.

    Raises:
        RepositoryError: it is damaged or of another form.
    """
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
    """Raises ValueError for lists that do not belong together."""
    signs = (*measurements.signs.values(), measurements.class_ids, measurements.scene_of)
    if len({len(values) for values in measurements.scenes.values()}) != 1 or len({len(each) for each in signs}) != 1:
        raise ValueError("its lists differ in length")
    scene_of = measurements.scene_of
    if len(scene_of) and (scene_of[0] < 0 or scene_of[-1] >= len(measurements) or (np.diff(scene_of) < 0).any()):
        raise ValueError("a sign stands in a scene that is not there")


def _floats(values: Any) -> Values:
    numbers = np.array(values, np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise ValueError("a measurement is no number")
    return numbers


def _rounded(values: Values) -> list[float]:
    """Returns values with six digits: more than a bucket distinguishes."""
    return [float(f"{value:.6g}") for value in values.tolist()]
