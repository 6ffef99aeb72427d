"""What training tells a person when their input cannot be used."""

from traffic_signs.errors import SignsError


class TrainingError(SignsError):
    """A problem the caller can mend; the message says how."""


class DataError(TrainingError):
    """A data set is missing, unreadable or not what it claims to be."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged or of another architecture."""
