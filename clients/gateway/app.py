"""Builds the gateway's ASGI app."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from clients.gateway import page, problems, reference, status
from clients.gateway.auth import Keys
from clients.gateway.description import describe
from clients.gateway.feedback import Store
from clients.gateway.limits import Limits
from clients.gateway.metrics import Metrics
from clients.gateway.middleware import Requests
from clients.gateway.problems import UNFITTING, ProblemError
from clients.gateway.routes import Api
from clients.gateway.settings import MEBIBYTE, Settings
from clients.gateway.uploads import Uploads
from clients.gateway.upstream import Upstream
from traffic_sign_client.errors import ClientError

if TYPE_CHECKING:
    from clients.gateway.tracing import Tracing


def make_app(settings: Settings, draining: Callable[[], bool] = lambda: False) -> FastAPI:
    """Returns the gateway as an ASGI app; it does not call Triton before its first request.

    `draining` returns whether the gateway is about to end and is no longer ready.

    Raises:
        ClientError: the keys, the feedback folder, the certificates or the address for traces cannot be used.
    """
    limits = Limits(settings.concurrency, settings.queue, settings.max_upload_memory * MEBIBYTE)
    metrics = Metrics(lambda: limits.in_flight)
    keys = Keys(settings.keys) if settings.keys else None
    store = Store(settings.feedback, settings.feedback_reserve * MEBIBYTE) if settings.feedback else None
    tracing = _tracing(settings.traces) if settings.traces else None
    upstream = Upstream(settings, limits, metrics, tracing)

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        yield
        await upstream.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="traffic-signs gateway",
        version=version("traffic-sign-mlops"),
        lifespan=living,
        docs_url=None,  # FastAPI's loads scripts from another site; ours is in reference.py
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host that the caller named
        exception_handlers={
            ProblemError: _on_problem,
            HTTPException: _on_http_error,
            RequestValidationError: _on_unfitting,
        },
    )
    files = page.Files()
    app.include_router(Api(settings, limits, Uploads(settings, metrics), upstream, store, keys).router)
    app.include_router(status.router(upstream, metrics, draining))
    app.mount("/static", files)

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return reference.answer(app)

    def openapi() -> dict[str, Any]:
        app.openapi_schema = app.openapi_schema or describe(app, keys is not None)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    if settings.cors_origin:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origin),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID", "traceparent", "tracestate"],
            expose_headers=["X-Request-ID", "Retry-After"],
            max_age=600,
        )
    app.add_middleware(Requests, metrics=metrics, tracing=tracing)
    return app


def _tracing(url: str) -> "Tracing":
    try:
        from clients.gateway.tracing import Tracing
    except ModuleNotFoundError as error:
        raise ClientError(
            f"traces need {error.name}, which is not installed: pip install '.[gateway,tracing]'"
        ) from error
    return Tracing(url)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    request.state.problem = error
    return problems.response(error, request.state.request_id)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    request.state.problem = problems.of_status(error.status_code)
    return problems.response(request.state.problem, request.state.request_id, dict(error.headers or {}))


async def _on_unfitting(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return await _on_problem(request, ProblemError(UNFITTING, f"{where}: {first['msg']}; see /docs"))
