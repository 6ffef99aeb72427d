"""What export tells a person when something must not be published."""


class ExportError(Exception):
    """A problem the caller can mend; the message says how. The repository is as it was."""


class ParityError(ExportError):
    """The exported model does not answer as the trained one does."""


class RepositoryError(ExportError):
    """The model repository cannot be read or written."""


class AccuracyError(ExportError):
    """The exported model does its work worse than the trained one, by more than is allowed."""
