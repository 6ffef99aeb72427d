"""Middleware of all requests: the request id, the log, the metrics and security headers."""

import asyncio
import contextlib
import logging
import re
import secrets
import time
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clients.gateway import problems
from clients.gateway.metrics import Metrics, outcome_of
from clients.gateway.problems import UNAVAILABLE, ProblemError

if TYPE_CHECKING:
    from clients.gateway.tracing import Tracing  # its extra may not be there

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
SAFETY = {
    # Scripts, styles and fonts only from here; pictures and videos also from the camera and from files.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LINGER_S, LINGER_BYTES = 5.0, 128 << 20
logger = logging.getLogger(__name__)


class Requests:
    """Wraps the app; every request gets an answer, whatever fails in it. With `tracing` those under /v1 get a span."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracing: "Tracing | None") -> None:
        self._app, self._metrics, self._tracing = app, metrics, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        if self._tracing is None or not scope["path"].startswith("/v1/"):
            await self._answer(exchange)
            return
        with self._tracing.request(exchange.request, lambda: exchange.status):
            await self._answer(exchange)

    async def _answer(self, exchange: "Exchange") -> None:
        try:
            scope = exchange.request.scope
            # Load balancers and monitors send HEAD; the server omits the body of the answer.
            if scope["method"] == "HEAD":
                scope = {**scope, "method": "GET"}
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = 0
        except asyncio.CancelledError:
            if exchange.status:
                raise
            await exchange.answer(ProblemError(UNAVAILABLE, "the gateway ended before the answer: try again"))
        except Exception:
            logger.exception("a bug of the gateway", extra={"request_id": exchange.request.state.request_id})
            if exchange.status:  # the answer has begun: the server ends the connection
                raise
            await exchange.answer(problems.of_status(500))
        finally:
            exchange.note(self._metrics)


class Exchange:
    """One request, whose state has its id, and its answer, whose status is 0 before it begins."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request, self.status = Request(scope), 0
        self._receive, self._send = receive, send
        self._started, self._received, self._whole = time.perf_counter(), 0, False
        given = self.request.headers.get("x-request-id", "")
        self.request.state.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)

    async def receive(self) -> Message:
        """Passes on a message from the caller."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._whole = self._whole or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Passes on a message to the caller, with the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request.state.request_id
            for name, value in SAFETY.items():
                headers.setdefault(name, value)
            if self._ends_early():
                await self._read_on()
        await self._send(message)

    async def answer(self, problem: ProblemError) -> None:
        """Answers with a problem."""
        self.request.state.problem = problem
        response = problems.response(problem, self.request.state.request_id)
        await response(self.request.scope, self.receive, self.send)

    def _ends_early(self) -> bool:
        """Returns whether the connection will end while the caller is still sending."""
        headers, version = self.request.headers, self.request.scope["http_version"]
        closing = "close" in headers.get("connection", "").lower() or version == "1.0"
        has_body = "content-length" in headers or "transfer-encoding" in headers
        return closing and has_body and not self._whole and "expect" not in headers

    async def _read_on(self) -> None:
        """Reads the rest of an upload, within bounds: if the connection ended before, the answer would be lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                limit = self._received + LINGER_BYTES
                while not self._whole and self._received < limit:
                    await self.receive()

    def note(self, metrics: Metrics) -> None:
        """Counts and logs the answer."""
        request, status, seconds = self.request, self.status, time.perf_counter() - self._started
        state, path = request.state, request.scope["path"]
        if request.method == "POST":
            metrics.answered(path, status, seconds)
        probe = path in ("/healthz", "/readyz", "/metrics") and status < 400
        problem = getattr(state, "problem", None)
        logger.log(
            logging.DEBUG if probe else logging.INFO,
            "answered" if status else "the caller disconnected",
            extra={
                "request_id": state.request_id,
                "method": request.method,
                "path": path[:200],
                "status": status or None,
                "outcome": outcome_of(status),
                "seconds": round(seconds, 4),
                "bytes": self._received,
                "pictures": getattr(state, "pictures", None),
                "key": getattr(state, "key", None),
                "peer": request.client.host if request.client else None,
                "problem": problem.kind.name if problem else None,
                "detail": problem.detail[:300] if problem else None,
            },
        )
