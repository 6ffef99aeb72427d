"""A closed loop: a fixed number of concurrent requests, each followed by the next after its answer.

perf_analyzer needs glibc 2.38, which Debian 12, Ubuntu 22.04 and Red Hat 9 lack, and measures until its windows agree,
while interleaved rounds have one length. Python adds about 0.3 ms of processor time to every request of all settings.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from export.tuning.config import Load
from traffic_sign_client.connection import channel_options

TIMEOUT_S = 120.0  # for one answer
WARM_UP = 0.25  # share of the measured time, before it: connections, threads, the first batches


async def closed_loop(
    url: str, model: str, input_name: str, images: npt.NDArray[np.uint8], load: Load
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Loads a model over gRPC for one round, with requests of one image each.

    Args:
        images: uint8 [n, height, width, 3]; sent in turn.

    Returns:
        Milliseconds of the requests answered in the measured time, float64 [n]; the server's reason for each failure.
    """
    import tritonclient.grpc.aio as triton
    from tritonclient.utils import InferenceServerException

    requests = []
    for image in images:
        tensor = triton.InferInput(input_name, [1, *image.shape], "UINT8")
        tensor.set_data_from_numpy(image[None])
        requests.append([tensor])
    latencies: list[float] = []
    reasons: list[str] = []
    start = time.perf_counter() + WARM_UP * load.seconds
    end = start + load.seconds

    async def keep_asking(client: Any, first: int) -> None:
        number = first
        while (sent := time.perf_counter()) < end:
            try:
                await client.infer(model, requests[number % len(requests)], client_timeout=TIMEOUT_S)
            except InferenceServerException as error:
                reasons.append(error.message() or str(error))
                await asyncio.sleep(0.01)  # no tight loop on a server that refuses at once
                continue
            done = time.perf_counter()
            if start <= done < end:
                latencies.append(1000 * (done - sent))
            number += load.concurrency

    async with AsyncExitStack() as stack:
        clients = []
        for number in range(load.channels):
            # Clients with equal settings would share a connection.
            options = [*channel_options(url), ("grpc.use_local_subchannel_pool", 1), ("signs.channel", number)]
            client = triton.InferenceServerClient(url, channel_args=options)
            clients.append(await stack.enter_async_context(client))
        asking = (keep_asking(clients[number % load.channels], number) for number in range(load.concurrency))
        await asyncio.gather(*asking)
    return np.asarray(latencies, np.float64), reasons
