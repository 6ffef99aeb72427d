"""What the clients tell a person when an answer cannot be had."""


class ClientError(Exception):
    """A problem the caller can mend; the message says how."""
