"""What monitoring tells a person when it cannot do its work."""


class MonitoringError(Exception):
    """A problem the caller can mend; the message says how."""
