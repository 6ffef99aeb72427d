"""The errors of export: why something must not be published."""

from traffic_signs.errors import SignsError


class ExportError(SignsError):
    """A problem the caller can mend; the message says how. The repository is as it was."""


class ParityError(ExportError):
    """The exported model does not answer as the trained one does."""


class RepositoryError(ExportError):
    """The model repository cannot be read or written."""


class SignatureError(RepositoryError):
    """A version is not signed with the key that is asked for, or was altered since."""


class AccuracyError(ExportError):
    """The exported model does its work worse than the trained one, by more than is allowed."""


class UndecidedError(Exception):
    """The gate could not decide; the cause is the error that kept it from that. It must not look like a refusal."""
