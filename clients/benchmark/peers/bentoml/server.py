"""BentoML with its adaptive batching.

Its endpoints read JSON, or files of a form that go through the disk: the bytes travel in base64.
"""

import os
from base64 import b64decode, b64encode

import bentoml

from clients.benchmark.peers.common.signs_models import open_model


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")), traffic={"timeout": 60})
class Signs:
    """Answers crops or photographs."""

    def __init__(self) -> None:
        self.model = open_model()

    @bentoml.api(
        route="/answer",
        batchable=True,
        max_batch_size=int(os.environ.get("BATCH", "32")),
        max_latency_ms=int(os.environ.get("MOST_MS", "1000")),
    )
    def answer(self, bodies: list[str]) -> list[str]:
        """Answers a batch that BentoML has put together."""
        return [b64encode(each).decode() for each in self.model([b64decode(body) for body in bodies])]
