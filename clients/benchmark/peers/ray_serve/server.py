"""Ray Serve with its dynamic batching: one deployment, replicas of it behind Ray's HTTP proxy."""

import contextlib
import os
import tempfile

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from clients.benchmark.peers.common.signs_models import open_model

REPLICAS = int(os.environ.get("WORKERS", "1"))
GPUS = 1 if os.environ.get("DEVICE") == "cuda" else 0  # a replica that asks for none would see none

OPTIONS = {"num_cpus": 0.5, "num_gpus": GPUS / REPLICAS}


@serve.deployment(num_replicas=REPLICAS, max_ongoing_requests=256, ray_actor_options=OPTIONS)
class Signs:
    """Answers crops or photographs."""

    def __init__(self) -> None:
        self.model = open_model()

    @serve.batch(
        max_batch_size=int(os.environ.get("BATCH", "32")),
        batch_wait_timeout_s=float(os.environ.get("DELAY_MS", "2")) / 1000,
    )
    async def answer(self, bodies: list[bytes]) -> list[bytes]:
        """Answers a batch that Ray has put together."""
        return self.model(bodies)

    async def __call__(self, request: Request) -> Response:
        """Answers one request."""
        return Response(await self.answer(await request.body()), media_type="application/octet-stream")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="signs-ray-") as folder:  # sockets: a long path cannot hold them
        cores = REPLICAS + 1
        ray.init(include_dashboard=False, num_cpus=cores, num_gpus=GPUS, _temp_dir=folder, logging_level="warning")
        # Ray gives its proxy 60 s, which nothing sets; on a busy machine it takes longer, and serves all the same.
        with contextlib.suppress(TimeoutError):
            serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
        application = Signs.bind()  # type: ignore[attr-defined]  # of the decorator, which mypy does not follow
        serve.run(application, route_prefix="/answer", blocking=True)
