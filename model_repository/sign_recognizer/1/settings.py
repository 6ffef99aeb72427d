"""What a version of the recognizer was published for: the forms of the two models it calls, and the names."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = "settings.json"


@dataclass(frozen=True)
class Settings:
    """The content of settings.json, which `signs export recognizer` writes beside the model.

    Attributes:
        scene_height: of the detector's input in pixels.
        scene_width: likewise.
        detector_max_batch: most scenes that the detector takes at once.
        crop_size: side of the classifier's input in pixels.
        classifier_max_batch: most crops that the classifier takes at once.
        class_names: by class id.
        class_categories: category id of each class, by class id.
        category_names: by the category id that the detector answers.
    """

    scene_height: int
    scene_width: int
    detector_max_batch: int
    crop_size: int
    classifier_max_batch: int
    class_names: list[str]
    class_categories: list[int]
    category_names: list[str]


def load_settings(folder: Path) -> Settings:
    """Reads the settings of the version in `folder`.

    Raises:
        ValueError: they are missing or damaged; the message says which file.
    """
    path = folder / FILE
    try:
        return Settings(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): publish it again, `signs export recognizer`") from error
