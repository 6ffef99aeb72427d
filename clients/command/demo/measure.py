"""Measures a served classifier from the client's side: the same answers, and how fast they come."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.server import RunningServer
from traffic_sign_client.client import SignClient
from traffic_sign_client.connection import Protocol

REQUESTS = 400  # single images, one after another; enough for a p99 that is not the maximum
CLIENTS = 4
BATCH = 16
BATCHES = 40  # a client


@dataclass(frozen=True)
class Measurement:
    """What the clients saw."""

    probabilities: dict[Protocol, npt.NDArray[np.float32]]  # [n, classes] for the crops sent
    latencies_ms: dict[Protocol, npt.NDArray[np.float64]]  # [REQUESTS], from request to answer for one image
    images_per_second: float  # with CLIENTS gRPC clients at once, each sending batches of BATCH


def measure(server: RunningServer, model: str, version: int, crops: npt.NDArray[np.uint8]) -> Measurement:
    """Sends crops, uint8 [n, size, size, 3], over gRPC and HTTP, then times single requests and a stream of batches."""
    addresses: dict[Protocol, str] = {"grpc": server.grpc_url, "http": server.http_url}
    probabilities: dict[Protocol, npt.NDArray[np.float32]] = {}
    latencies: dict[Protocol, npt.NDArray[np.float64]] = {}
    for protocol, url in addresses.items():
        with SignClient(url, protocol, f"{model}/{version}") as client:
            probabilities[protocol] = client.probabilities(crops)
            latencies[protocol] = _time_single(client, crops)
    rate = _stream(server.grpc_url, f"{model}/{version}", crops)
    return Measurement(probabilities, latencies, rate)


def _time_single(client: SignClient, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    times = np.empty(REQUESTS)
    for number in range(REQUESTS):
        image = crops[number % len(crops)][None]
        start = time.perf_counter()
        client.probabilities(image)
        times[number] = 1000 * (time.perf_counter() - start)
    return times


def _stream(url: str, model: str, crops: npt.NDArray[np.uint8]) -> float:
    batch = crops[np.arange(BATCH) % len(crops)]

    def send(client: SignClient) -> None:
        for _ in range(BATCHES):
            client.probabilities(batch)

    clients = [SignClient(url, "grpc", model) for _ in range(CLIENTS)]
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            start = time.perf_counter()
            list(pool.map(send, clients))
            seconds = time.perf_counter() - start
    finally:
        for client in clients:
            client.close()
    return CLIENTS * BATCHES * BATCH / seconds
