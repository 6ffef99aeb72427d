"""FastAPI on uvicorn, with ONNX Runtime or PyTorch eager: one endpoint, in one or more processes.

POOL=1 runs the network in the thread pool, as an endpoint without `async` does; 0 runs it in the event loop, which
saves a change of threads and suits one process per core.
"""

import os

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from clients.benchmark.peers.common.signs_models import open_model

IN_POOL = os.environ.get("POOL", "1") == "1"

app = FastAPI()
model = open_model()


@app.post("/answer")
async def answer(request: Request) -> Response:
    """Answers one crop or one photograph."""
    body = await request.body()
    (result,) = await run_in_threadpool(model, [body]) if IN_POOL else model([body])
    return Response(result, media_type="application/octet-stream")


@app.get("/ready")
async def ready() -> Response:
    """Answers when the model is loaded."""
    return Response()


if __name__ == "__main__":
    uvicorn.run(
        "server:app",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        workers=int(os.environ.get("WORKERS", "1")),
        access_log=False,
        log_level="warning",
        timeout_worker_healthcheck=120,  # importing the model takes its time on a busy machine
    )
