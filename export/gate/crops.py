"""The evaluation set of classifiers: crops of signs."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from export.arrays import spread
from export.gate.config import Limits
from export.gate.rules import Answers, check_classes, check_overall
from export.gate.verdict import Finding, Role
from export.model_kind import Entrant, EvaluationSet, Predictor
from traffic_sign_client.errors import ClientError
from traffic_signs.progress import ProgressCallback
from training.data.crops import Crops, cut_crops
from training.data.records import Dataset, Split

SAMPLED = 256  # crops on which the server is compared with the file


class CropEvaluationSet(EvaluationSet):
    """Crops of signs, for each version in its own size; `score_threshold` is for detectors.

    Raises:
        training.errors.DataError: the split has no signs, or an image cannot be used.
        ClientError: a version takes no square images.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        entrants: Mapping[Role, Entrant],
        score_threshold: float,
        progress: ProgressCallback,
    ) -> None:
        crops: dict[int, Crops] = {}
        for role, entrant in entrants.items():
            height, width = entrant.size
            if height != width:
                raise ClientError(f"{entrant.name}, the {role}, takes {width}x{height} pixels: sign crops are square")
            if height not in crops:
                crops[height] = cut_crops(dataset, split, height, partial(progress, "reading images"))
        first = next(iter(crops.values()))
        self._names_of = {role: entrant.name for role, entrant in entrants.items()}
        self._crops = {role: crops[entrant.size[0]].images for role, entrant in entrants.items()}
        sampled = spread(len(first), SAMPLED)
        self.images = {role: each[sampled] for role, each in self._crops.items()}
        self._class_ids, self._names = first.class_ids, dataset.classes.names
        self.data = {"name": dataset.name, "split": split, "fingerprint": first.fingerprint, "signs": len(first)}

    def evaluate(self, versions: Mapping[Role, Predictor], limits: Limits, progress: ProgressCallback) -> list[Finding]:
        """See `EvaluationSet.evaluate`."""
        right = {}
        for role, version in versions.items():
            classes = version(self.images[role][:1])["probabilities"].shape[1]
            if classes != len(self._names):
                raise ClientError(
                    f"{self._names_of[role]}, the {role}, has {classes} classes, the data have {len(self._names)}: "
                    "give data of its own classes"
                )
            probabilities = version(self._crops[role], partial(progress, f"asking the {role}"))["probabilities"]
            # An answer with NaN is wrong, whichever class NumPy makes of it.
            right[role] = (probabilities.argmax(axis=1) == self._class_ids) & np.isfinite(probabilities).all(axis=1)
        answers = Answers(self._names, self._class_ids, right["challenger"], right.get("champion"))
        return [check_overall("accuracy", answers, limits), check_classes("classes", answers, limits)]
