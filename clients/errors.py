"""What the clients tell a person, or a program, when an answer cannot be had."""


class ClientError(Exception):
    """A problem the caller can mend; the message says how."""


class RefusedError(ClientError):
    """This input is refused, by the server or before it was sent; another one may do."""


class UnknownModelError(ClientError):
    """The server has no such model, or no such version of it."""


class TimedOutError(ClientError):
    """No answer came in time; asking again at once would make it worse."""


class UnavailableError(ClientError):
    """No server is there, or it or one of its models cannot answer now; the same request may do later."""


class OverloadedError(UnavailableError):
    """The server has as many requests waiting as it takes."""


class UndecidedError(Exception):
    """The gate could not judge; the cause is the error that kept it from that. It must not look like a refusal."""


# What Triton, or what stands before it, says in gRPC and in HTTP, and what libraries say of sockets.
LATE = ("DEADLINE_EXCEEDED", "408", "504")
OVERLOADED = ("RESOURCE_EXHAUSTED", "429")
FORBIDDEN = ("UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403")
REFUSED = ("INVALID_ARGUMENT", "400", "413")
UNAVAILABLE = ("UNAVAILABLE", "502", "503")
UNTRUSTED = ("certificate", "handshake", "[ssl")
NOBODY = ("connect", "unavailable", "refused", "resolution", "resolving", "name or service", "socket closed")
FORGOTTEN = "find shared memory region"  # what Triton cannot do after it was started again


def explained(error: Exception, url: str, protocol: str, timeout: float) -> ClientError:
    """Returns what to raise in place of an error of tritonclient, a socket or a parser, and what to do about it.

    Args:
        error: what was raised when a server was asked.
        url: of the server.
        protocol: "grpc" or "http".
        timeout: seconds that were to be waited for an answer.
    """
    from tritonclient.utils import InferenceServerException

    reason, status = str(error) or type(error).__name__, ""
    if isinstance(error, InferenceServerException):
        reason, status = error.message() or reason, str(error.status()).removeprefix("StatusCode.")
    said, answer = reason.lower(), f"{url} answers: {reason[:2000]}"  # a proxy may answer with a whole page
    if isinstance(error, TimeoutError) or status in LATE or "request timeout expired" in said:
        return TimedOutError(f"no answer from {url} within {timeout:g} s: the server is busy or gone")
    if "unknown model" in said:
        return UnknownModelError(answer)
    if "maximum queue size" in said or status in OVERLOADED:
        return OverloadedError(f"{answer}: ask later, or less at once")
    if "expecting header" in said or status in FORBIDDEN:
        return ClientError(f"{answer}: give the headers it wants")
    if any(words in said for words in UNTRUSTED):
        return ClientError(f"no TLS with {url} ({reason}): give the certificate of its authority")
    if "expected http/" in said:
        return ClientError(f"{url} does not speak HTTP: give the server's HTTP port, or --protocol grpc")
    if isinstance(error, ValueError) and protocol == "http":  # of the parser of JSON
        return ClientError(f"{url} does not answer as Triton does ({reason}): give Triton's HTTP port")
    if status in REFUSED:
        return RefusedError(answer)
    if status in ("", "UNAVAILABLE") and (isinstance(error, OSError) or any(words in said for words in NOBODY)):
        return UnavailableError(f"no {protocol} server at {url}: start one with `signs serve`, or give its --url")
    if status in UNAVAILABLE or FORGOTTEN in said:
        return UnavailableError(answer)
    return ClientError(answer)
