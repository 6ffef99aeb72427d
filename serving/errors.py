"""What serving tells a person when the server cannot run."""

from traffic_signs.errors import SignsError


class ServingError(SignsError):
    """A problem the caller can mend; the message says how."""
