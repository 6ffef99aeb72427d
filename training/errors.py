"""Errors of data sets, checkpoints and training runs."""

from traffic_signs.errors import SignsError


class TrainingError(SignsError):
    """Training cannot start or continue; the message names the fix."""


class DataError(TrainingError):
    """A data set is missing, unreadable or not what it claims to be."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged or of another architecture."""
