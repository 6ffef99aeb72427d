"""The errors of the clients; the message names the fix."""

from traffic_sign_client.direct import GRPC_VARIABLES, proxy_note


class ClientError(Exception):
    """A problem that the caller can fix; the message names the fix."""


class RefusedError(ClientError):
    """The input is invalid, by the server's answer or before sending."""


class UnknownModelError(ClientError):
    """The server has no such model or version, or a model of another kind."""


class NotServedError(UnknownModelError):
    """The server does not have the model or version now; it may be ending and have unloaded it."""


class TimedOutError(ClientError):
    """There was no answer in time; an immediate retry would add to the load."""


class UnavailableError(ClientError):
    """There is no server, or it cannot answer now; the same request may succeed later."""


class OverloadedError(UnavailableError):
    """The server's queue is full."""


class StoppingError(UnavailableError):
    """The server is ending and takes no more requests; another server may."""


FORGOTTEN = "find shared memory region"  # in Triton's error after a restart
NO_CLIENT_SHM = (
    "From 26.04 on Triton uses clients' shared memory only if it is started with --allow-client-shm=true "
    "(`signs serve --allow-client-shm`)"
)

# In the libraries' errors if there is no answer, or the connection ends before the end of the answer.
UNREACHABLE = ("connect", "unavailable", "refused", "resol", "name or service", "socket", "payload is not completed")
BROKEN_OFF = ("cancel", "rst_stream")  # in gRPC's errors if the server, or a proxy, ends during a request


def explained(error: Exception, url: str, protocol: str, timeout: float) -> ClientError:
    """Returns the ClientError for an error of tritonclient, a socket or a parser; `timeout` is in seconds."""
    from tritonclient.utils import InferenceServerException

    reason, status = str(error) or type(error).__name__, ""
    if isinstance(error, InferenceServerException):
        reason, status = error.message() or reason, str(error.status()).removeprefix("StatusCode.")
    proxy = proxy_note(url, GRPC_VARIABLES) if protocol == "grpc" else ""  # the HTTP client uses none
    said, answer = reason.lower(), f"{url} answers: {reason[:2000]}"  # a proxy may answer with a whole page

    def says(*words: str) -> bool:
        return any(each in said for each in words)

    if isinstance(error, TimeoutError) or status in ("DEADLINE_EXCEEDED", "408", "504") or says("timeout expired"):
        return TimedOutError(f"no answer from {url} within {timeout:g} s{proxy}: the server is busy or gone")
    if says("unknown model"):
        return NotServedError(answer)
    if says("unexpected inference", "missing required input"):  # a model of another kind
        return UnknownModelError(answer)
    if status in ("RESOURCE_EXHAUSTED", "429") or says("maximum queue size"):
        return OverloadedError(f"{answer}: ask later, or less at once")
    if status in ("UNAUTHENTICATED", "PERMISSION_DENIED", "401", "403") or says("expecting header"):
        return ClientError(f"{answer}: give the headers it wants")
    if says("certificate", "handshake", "[ssl"):
        return ClientError(f"no TLS with {url} ({reason}): give the certificate of its authority")
    if protocol == "http" and (isinstance(error, ValueError) or says("expected http/")):  # of a parser
        return ClientError(f"{url} does not answer as Triton does: give Triton's HTTP port, or --protocol grpc")
    if says(FORGOTTEN):
        return UnavailableError(answer)
    if says("shared memory region", "client shared memory", "client-shm", "client_shm"):
        return ClientError(
            f"{answer}: it cannot use this machine's shared memory; let it run on this machine, as the same user and "
            f"with the same /dev/shm, or leave out shared_memory. {NO_CLIENT_SHM}"
        )
    if status in ("INVALID_ARGUMENT", "400", "413"):
        return RefusedError(answer)
    if status in ("UNAVAILABLE", "503") and says("stopping", "stopped accepting"):
        return StoppingError(answer)
    if status in ("", "UNAVAILABLE") and (isinstance(error, OSError) or says(*UNREACHABLE)):
        return UnavailableError(
            f"no {protocol} server at {url}{proxy}: start one with `signs serve`, or give its --url"
        )
    if status in ("UNAVAILABLE", "502", "503") or (status in ("CANCELLED", "INTERNAL") and says(*BROKEN_OFF)):
        return UnavailableError(answer)
    return ClientError(answer)
