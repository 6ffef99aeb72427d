"""Calibration: temperature scaling and the expected calibration error (Guo et al., 2017, arXiv 1706.04599)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar

BINS = 15  # as in the paper
LIMIT = 8.0
MOST_LOST = 0.005  # share of known signs that may be answered as unknown
MIN_CROPS_FOR_THRESHOLD = 20


def fit_temperature(logits: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int64]) -> float:
    """Fits the temperature on held-out crops, from which the network has not learned.

    `logits` are float32 [n, classes]; `class_ids`, int64 [n], are the labels.

    Returns:
        The temperature from 1/8 to 8 with the smallest negative log likelihood. Labels count as right with
        probability (n + 1) / (n + 2), as in Platt scaling (1999): if all crops are right, the likelihood would
        otherwise grow without limit as the temperature falls.
    """
    doubt = logits.shape[1] / (logits.shape[1] - 1) / (len(logits) + 2)  # PyTorch gives the label a share of it, too
    inputs, targets = torch.from_numpy(logits).double(), torch.from_numpy(class_ids)

    def loss(steepness: float) -> float:
        """Returns the loss by the logarithm of 1 / temperature."""
        return F.cross_entropy(inputs * math.exp(steepness), targets, label_smoothing=doubt).item()

    reach = math.log(LIMIT)
    found = minimize_scalar(loss, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-7})
    return math.exp(-found.x)


def fit_unknown_threshold(probabilities: npt.NDArray[np.float32]) -> float:
    """Chooses the score below which a crop is answered as unknown.

    `probabilities` are float32 [n, classes], calibrated, of crops that the network has not learned from. A share
    k / (n + 1) of new crops is expected to score less than the k-th lowest of these n (split conformal prediction:
    Papadopoulos et al., 2002, doi 10.1007/3-540-36755-1_29).

    Returns:
        The highest score, with four decimals, that is expected to cost at most MOST_LOST of new crops. For fewer than
        199 crops it is the lowest, which costs 1 / (n + 1) of them; for fewer than MIN_CROPS_FOR_THRESHOLD it is 0.
        This counts crops as independent. Frames of one track are not: of new tracks it may cost more.
    """
    if len(probabilities) < MIN_CROPS_FOR_THRESHOLD:
        return 0.0
    scores = np.sort(probabilities.max(axis=1).astype(np.float64))
    rank = max(1, int(MOST_LOST * (len(scores) + 1)))
    return float(np.floor(scores[rank - 1] * 1e4) / 1e4)


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: accuracy by confidence, in bins of equal width from 0 to 1."""

    counts: npt.NDArray[np.int64]  # int64 [BINS], number of predictions in each bin
    confidence: npt.NDArray[np.float64]  # float64 [BINS], their mean confidence; NaN in an empty bin
    accuracy: npt.NDArray[np.float64]  # float64 [BINS], the share of right ones; NaN in an empty bin

    @property
    def expected_calibration_error(self) -> float:
        """Mean absolute difference of confidence and accuracy over all predictions."""
        gaps = np.nan_to_num(np.abs(self.confidence - self.accuracy))
        return float((gaps * self.counts).sum() / self.counts.sum())


def reliability(probabilities: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int64]) -> Reliability:
    """Bins predictions, float32 [n, classes], by their highest probability; `class_ids`, int64 [n], are the labels."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == class_ids
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        sums = np.bincount(bins, weights=values, minlength=BINS)
        means: npt.NDArray[np.float64] = np.divide(sums, counts, out=np.full(BINS, np.nan), where=counts > 0)
        return means

    return Reliability(counts, mean(confidence), mean(right.astype(np.float64)))
