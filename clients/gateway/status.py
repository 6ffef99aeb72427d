"""The routes for operators: health, readiness and metrics."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import JSONResponse, Response

from clients.gateway import schema
from clients.gateway.description import problem_answer
from clients.gateway.metrics import Metrics
from clients.gateway.problems import UNAVAILABLE, ProblemError
from clients.gateway.upstream import Upstream


def router(upstream: Upstream, metrics: Metrics, draining: Callable[[], bool]) -> APIRouter:
    """Returns the routes; `draining` returns whether the gateway is about to end."""
    made = APIRouter(tags=["health"])
    healthy: dict[int | str, dict[str, Any]] = {200: {"model": schema.Health, "description": "Yes."}}

    @made.get("/healthz", summary="Whether the gateway runs", responses=healthy)
    async def healthz() -> Response:
        return JSONResponse({"status": "ok", "models": {}})

    @made.get(
        "/readyz",
        summary="Whether it can answer: the models are ready in Triton, and the gateway is not about to end",
        responses={**healthy, 503: problem_answer(503)},
    )
    async def readyz() -> Response:
        if draining():
            raise ProblemError(UNAVAILABLE, "the gateway is about to end: use another one")
        models = await upstream.ready()
        if missing := [name for name, good in models.items() if not good]:
            raise ProblemError(UNAVAILABLE, f"not ready in Triton: {', '.join(missing)}; see its log, or change --need")
        return JSONResponse({"status": "ok", "models": models})

    @made.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Metrics."}},
    )
    def shown() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return made
