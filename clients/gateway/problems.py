"""The gateway's errors, as application/problem+json (RFC 9457)."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """A kind of problem."""

    name: str  # and its anchor in /docs
    status: int
    title: str
    retry_after: int = 0  # seconds; 0 for never


UNREADABLE = Kind("unreadable", 400, "The request cannot be read")
UNAUTHORIZED = Kind("unauthorized", 401, "An API key is needed")
NOT_FOUND = Kind("not-found", 404, "There is nothing here")
NOT_OFFERED = Kind("not-offered", 404, "This gateway does not offer this model")
NO_FEEDBACK = Kind("no-feedback", 404, "This gateway takes no feedback")
METHOD = Kind("method", 405, "Another method is needed")
SLOW_UPLOAD = Kind("slow-upload", 408, "The upload took too long")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
WRONG_TYPE = Kind("wrong-type", 415, "The type of the upload is not supported")
UNFITTING = Kind("unfitting", 422, "A value is invalid")
OVERLOADED = Kind("overloaded", 429, "Too many requests at once", retry_after=1)
INTERNAL = Kind("internal", 500, "The gateway has a bug")
UPSTREAM = Kind("upstream", 502, "The model server answered with an error", retry_after=5)
UNAVAILABLE = Kind("unavailable", 503, "The model server cannot answer now", retry_after=5)
NOT_SERVED = Kind("not-served", 503, "A model is not served", retry_after=5)
TIMEOUT = Kind("timeout", 504, "There was no answer in time", retry_after=5)
FULL = Kind("full", 507, "There is no room for feedback", retry_after=300)

KINDS = tuple(each for each in vars().values() if isinstance(each, Kind))


class ProblemError(Exception):
    """Ends a request with a problem; `detail` says what is wrong with this request, and the fix."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def body(error: ProblemError, request_id: str) -> dict[str, Any]:
    """Returns the JSON of a problem."""
    kind = error.kind
    return {
        "type": f"/docs#{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
        "request_id": request_id,
    }


def response(error: ProblemError, request_id: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Returns the answer to a request that ends with a problem."""
    kind, headers = error.kind, dict(headers or {})
    if kind.retry_after:
        headers["Retry-After"] = str(kind.retry_after)
    if kind is UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body(error, request_id), kind.status, headers, MEDIA_TYPE)


def of_status(status: int) -> ProblemError:
    """Returns the problem for an error status of the framework."""
    if status == HTTPStatus.NOT_FOUND:
        return ProblemError(NOT_FOUND, "see /docs for the routes")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return ProblemError(METHOD, "use one of the methods in the header Allow; see /docs")
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return ProblemError(UNREADABLE, "send the request as /docs shows it")
    return ProblemError(INTERNAL, "try again later; the gateway's log has the reason under this request id")
