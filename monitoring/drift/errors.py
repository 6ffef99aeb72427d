"""What the drift watch tells a person when it cannot judge."""


class DriftError(Exception):
    """A problem the caller can mend; the message says how."""
