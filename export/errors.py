"""The errors of export."""

from traffic_signs.errors import SignsError


class ExportError(SignsError):
    """A problem that the caller can fix; the message names the fix. The repository is unchanged."""


class ParityError(ExportError):
    """The exported model differs from the trained one."""


class RepositoryError(ExportError):
    """The model repository cannot be read or written."""


class NewerSchemaError(RepositoryError):
    """A manifest is of a newer schema: only a newer release can read the version."""


class SignatureError(RepositoryError):
    """A version is not signed with this key, or was changed later."""


class AccuracyError(ExportError):
    """The exported model loses more accuracy than is allowed."""


class UndecidedError(Exception):
    """The gate could not decide, because of its `__cause__`; it must not look like a refusal."""
