"""A server that takes no shared memory of its clients says how to allow it; one that is gone is worth a retry.

The refusals are made up: the server that can be had here knows no such option, and newer ones do not run here.
"""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from traffic_sign_client.errors import ClientError, RefusedError, UnavailableError, explained
from traffic_sign_client.shared_memory import Regions


@pytest.mark.parametrize("status", ["StatusCode.UNAVAILABLE", "StatusCode.UNIMPLEMENTED", "400"])
@pytest.mark.parametrize(
    "said", ["Client shared memory is disabled", "start the server with --allow-client-shm=true", "allow_client_shm"]
)
def test_the_option_is_named_whatever_the_status(status: str, said: str) -> None:
    error = explained(InferenceServerException(said, status), "localhost:8001", "grpc", 1)
    assert type(error) is ClientError, "asking again does not help"
    assert "signs serve --allow-client-shm" in str(error)


def hold(refusal: ClientError) -> None:
    """Has a region registered at a server that answers with a refusal."""

    async def refuse(*_: Any) -> None:
        raise refusal

    async def use() -> None:
        regions = Regions(refuse)
        try:
            async with regions.holding(None, np.zeros(4, np.uint8), 1.0):
                pytest.fail("nothing was registered")
        finally:
            await regions.close()

    before = set(Path("/dev/shm").glob("signs-*"))
    try:
        asyncio.run(use())
    finally:
        assert set(Path("/dev/shm").glob("signs-*")) <= before


def test_any_refusal_of_a_region_names_the_option() -> None:
    with pytest.raises(ClientError, match=r"not now. From 26.04 on") as caught:
        hold(RefusedError("not now"))
    assert str(caught.value).count("--allow-client-shm=true") == 1


def test_a_server_that_is_gone_stays_worth_a_retry() -> None:
    with pytest.raises(UnavailableError, match=r"^gone$"):
        hold(UnavailableError("gone"))
