"""What each request goes through: its id, its key, its line in the log, its count, headers that keep browsers safe."""

import logging
import re
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clients.gateway import problems
from clients.gateway.auth import Keys
from clients.gateway.metrics import Metrics, outcome_of
from clients.gateway.problems import INTERNAL, ProblemError

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SAFETY = {
    # Scripts, styles and fonts of our own alone; pictures and videos also from the camera and from files.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
logger = logging.getLogger(__name__)


class Requests:
    """Goes around the whole app; nothing that happens within leaves a request without an answer.

    Args:
        app: that answers.
        metrics: count the answers.
        keys: of those who may use /v1; None lets everybody in.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Keys | None) -> None:
        self._app, self._metrics, self._keys = app, metrics, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, received = time.perf_counter(), 0, 0
        request = Request(scope)
        given = request.headers.get("x-request-id", "")
        request.state.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request.state.request_id
                for name, value in SAFETY.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(request, counted, headed)
        except ClientDisconnect:
            status = 0
        except Exception:
            logger.exception("a mistake of the gateway", extra={"request_id": request.state.request_id})
            if status:  # half an answer: the server ends the connection
                raise
            _, detail = problems.of_status(500)
            answer = problems.response(ProblemError(INTERNAL, detail), request.state.request_id)
            await answer(scope, receive, headed)
        finally:
            self._note(request, status, time.perf_counter() - started, received)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        path, method = request.scope["path"], request.method
        if self._keys and path.startswith("/v1/") and method != "OPTIONS":
            try:
                request.state.key = self._keys.check(request)
            except ProblemError as problem:
                request.state.problem = problem
                await problems.response(problem, request.state.request_id)(request.scope, receive, send)
                return
        await self._app(request.scope, receive, send)

    def _note(self, request: Request, status: int, seconds: float, received: int) -> None:
        state, path, method = request.state, request.scope["path"], request.method
        if method == "POST":
            self._metrics.answered(path, status, seconds)
        probe = path in ("/healthz", "/readyz", "/metrics") and status < 400
        problem = getattr(state, "problem", None)
        logger.log(
            logging.DEBUG if probe else logging.INFO,
            "answered" if status else "the caller went away",
            extra={
                "request_id": state.request_id,
                "method": method,
                "path": path[:200],
                "status": status or None,
                "outcome": outcome_of(status),
                "seconds": round(seconds, 4),
                "bytes": received,
                "pictures": getattr(state, "pictures", None),
                "key": getattr(state, "key", None),
                "peer": request.client.host if request.client else None,
                "problem": problem.kind.name if problem else None,
                "detail": problem.detail[:300] if problem else None,
            },
        )
