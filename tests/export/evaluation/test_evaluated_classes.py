"""A model is evaluated only on data with the same class names in the same order, and by answers that are numbers."""

import numpy as np
import pytest

from export.arrays import Images, Outputs
from export.evaluation.run import require_classes
from export.kinds import CLASSIFIER, DETECTOR
from export.model_kind import ModelKind, Predictor
from traffic_sign_client.errors import ClientError
from traffic_signs.classes import GERMAN_SIGNS
from traffic_signs.progress import silent
from training.data.load import load_data


class Named(Predictor):
    """A network that only has class names."""

    def __init__(self, kind: ModelKind, names: list[str] | None) -> None:
        self.kind, self._names = kind, names

    def class_names(self) -> list[str] | None:
        return self._names

    def _run(self, images: Images) -> Outputs:
        raise NotImplementedError


def test_names_must_agree_in_their_order(tiny_data: str) -> None:
    dataset = load_data(tiny_data)
    for kind, names in ((CLASSIFIER, GERMAN_SIGNS.names), (DETECTOR, GERMAN_SIGNS.category_names)):
        require_classes(Named(kind, list(names)), dataset)
        require_classes(Named(kind, None), dataset)
        with pytest.raises(ClientError, match=rf"{kind.name} has other classes than .* \(class 0 is '{names[-1]}'"):
            require_classes(Named(kind, [*reversed(names)]), dataset)
        with pytest.raises(ClientError, match=rf"\({len(names) - 1} classes instead of {len(names)}\)"):
            require_classes(Named(kind, list(names[1:])), dataset)


class Broken(Predictor):
    """A classifier whose probabilities are NaN."""

    def __init__(self) -> None:
        self.kind, self.size, self.max_batch = CLASSIFIER, (48, 48), 64

    def _run(self, images: Images) -> Outputs:
        return {"probabilities": np.full((len(images), len(GERMAN_SIGNS)), np.nan, np.float32)}


def test_answers_that_are_no_numbers_are_an_error(tiny_data: str) -> None:
    with pytest.raises(ClientError, match="NaN or infinite probabilities"):
        CLASSIFIER.evaluate(Broken(), load_data(tiny_data), "test", None, None, silent)
