"""LitServe with its own batching: raw bytes in and out, as many workers as the environment says."""

import os
from typing import Annotated

import litserve
from fastapi import Body, Response

from clients.benchmark.peers.common.signs_models import open_model


class SignApi(litserve.LitAPI):
    """Answers crops or photographs."""

    def setup(self, device: str) -> None:
        """Loads the model, in each worker."""
        self.model = open_model()

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        """Takes the body as it is: a body declared as bytes is not parsed as JSON."""
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Leaves the bodies of a batch side by side: the model takes them so."""
        return inputs

    def predict(self, x: list[bytes]) -> list[bytes]:
        """Answers a batch."""
        return self.model(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Leaves the answers as they are."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """Sends an answer as it is."""
        return Response(output, media_type="application/octet-stream")


if __name__ == "__main__":
    api = SignApi(
        max_batch_size=int(os.environ.get("BATCH", "32")),
        batch_timeout=float(os.environ.get("DELAY_MS", "2")) / 1000,
        api_path="/answer",
    )
    server = litserve.LitServer(
        api,
        accelerator=os.environ.get("DEVICE", "cpu"),
        devices=1,
        workers_per_device=int(os.environ.get("WORKERS", "1")),
        fast_queue=os.environ.get("FAST_QUEUE", "0") == "1",
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ.get("API_SERVERS", "1")),
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
