"""What the clients tell a person when an answer cannot be had."""


class ClientError(Exception):
    """A problem the caller can mend; the message says how."""


class RefusedError(ClientError):
    """The server refuses this input, and takes others."""


class UnknownModelError(ClientError):
    """The server has no such model."""


class UndecidedError(Exception):
    """The gate could not judge; the cause is the error that kept it from that. It must not look like a refusal."""
