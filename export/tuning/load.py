"""A closed loop of requests: so many are under way at any time, and the next leaves when one was answered.

It is ours and not perf_analyzer's because that one needs glibc 2.38, which Debian 12, Ubuntu 22.04 and Red Hat 9 lack,
and measures until its windows agree, which interleaved rounds of one length cannot wait for. What Python adds, about
0.3 ms of processor time a request, it adds to all settings alike.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.tuning.config import Load
from traffic_sign_client.connection import channel_options

TIMEOUT_S = 120.0  # for one answer; a server that hangs must not hang this
WARM_UP = 0.25  # of the time that is measured goes before, unmeasured: connections, threads, the first batches


@dataclass(frozen=True)
class Answers:
    """What came of it.

    Attributes:
        latencies_ms: float64 [n], of the requests answered while it was measured, in milliseconds.
        reason: what the server said of the first of these.
    """

    latencies_ms: npt.NDArray[np.float64]
    failures: int = 0
    reason: str = ""


def closed_loop(url: str, model: str, input_name: str, images: npt.NDArray[np.uint8], load: Load) -> Answers:
    """Loads a model over gRPC for one round, with requests of one image each.

    Args:
        images: uint8 [n, height, width, 3]; sent in turn.
    """
    return asyncio.run(_run(url, model, input_name, images, load))


async def _run(url: str, model: str, input_name: str, images: npt.NDArray[np.uint8], load: Load) -> Answers:
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
                await asyncio.sleep(0.01)  # a server that refuses at once must not be asked in a tight loop
                continue
            done = time.perf_counter()
            if start <= done < end:
                latencies.append(1000 * (done - sent))
            number += load.concurrency

    async with AsyncExitStack() as stack:
        clients = []
        for number in range(load.channels):
            # gRPC has clients of equal settings share a connection unless a setting differs.
            options = [*channel_options(url), ("grpc.use_local_subchannel_pool", 1), ("signs.channel", number)]
            client = triton.InferenceServerClient(url, channel_args=options)
            clients.append(await stack.enter_async_context(client))
        asking = (keep_asking(clients[number % load.channels], number) for number in range(load.concurrency))
        await asyncio.gather(*asking)
    return Answers(np.asarray(latencies, np.float64), len(reasons), reasons[0] if reasons else "")
