"""Settings of a published recognizer: the inputs of the two models it calls, and the class names."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = "settings.json"


@dataclass(frozen=True)
class Settings:
    """The content of settings.json, which `signs export recognizer` writes beside the model."""

    scene_height: int  # height of the detector's input in pixels
    scene_width: int  # width of the detector's input in pixels
    detector_max_batch: int  # largest batch of the detector
    crop_size: int  # side of the classifier's input in pixels
    classifier_max_batch: int  # largest batch of the classifier
    class_names: list[str]  # name of each class, by class id
    class_categories: list[int]  # category id of each class, by class id
    category_names: list[str]  # name of each category of the detector, by category id


def load_settings(folder: Path) -> Settings:
    """Reads the settings of the version in `folder`.

    Raises:
        ValueError: the file is missing or damaged; the message names it.
    """
    path = folder / FILE
    try:
        return Settings(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): publish it again, `signs export recognizer`") from error
