"""What serving tells a person when the server cannot run."""


class ServingError(Exception):
    """A problem the caller can mend; the message says how."""
