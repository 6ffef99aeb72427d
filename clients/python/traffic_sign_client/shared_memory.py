"""Inputs in shared memory of this machine, instead of through a socket."""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from traffic_sign_client.errors import FORGOTTEN, NO_CLIENT_SHM, ClientError, TimedOutError, UnavailableError

FORGETTING = 5.0  # seconds for the server to unregister all regions when the client closes
SMALLEST = 1 << 20  # bytes of a region; larger sizes are powers of two, so that regions are reused


class Regions:
    """The regions of one client; each request in flight has its own.

    `call` calls a method of tritonclient's client, given the timeout, its name and its arguments.
    """

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self._all: list[SharedMemory] = []
        self._idle: list[SharedMemory] = []
        self._known: set[str] = set()  # names of the registered regions

    @asynccontextmanager
    async def holding(self, tensor: Any, values: npt.NDArray[Any], seconds: float) -> AsyncIterator[None]:
        """Copies values into a registered region and points an input of tritonclient to it.

        Raises:
            ClientError: there is not enough shared memory, or the server cannot use it.
        """
        from tritonclient.utils import serialize_byte_tensor

        if values.dtype == np.object_:
            values = np.frombuffer(serialize_byte_tensor(values).item(), np.uint8)
        region = self._take(values.nbytes)
        try:
            np.ndarray(values.shape, values.dtype, region.buf)[...] = values
            if region.name not in self._known:
                await self._register(region, seconds)
            tensor.set_shared_memory(region.name, values.nbytes)
            yield
        except UnavailableError as error:
            if FORGOTTEN in str(error):  # it was restarted: a retry registers again
                self._known.clear()
            raise
        finally:  # after a timeout it does not matter what the server still reads here
            self._idle.append(region)

    async def close(self) -> None:
        """Removes all regions from the machine."""
        calls = (self._forget(name) for name in self._known)
        try:  # errors do not matter: a server that has ended has no regions
            await asyncio.gather(*calls, return_exceptions=True)
        finally:
            for region in self._all:
                region.close()
                region.unlink()
            self._all, self._idle = [], []

    async def _forget(self, name: str) -> None:
        """Unregisters a region; the server may refuse while it finishes the last request."""
        deadline = time.monotonic() + FORGETTING
        while time.monotonic() < deadline:
            try:
                await self._call(FORGETTING, "unregister_system_shared_memory", name)
                return
            except ClientError as error:
                if "currently in use" not in str(error):
                    return
            await asyncio.sleep(0.02)

    def _take(self, size: int) -> SharedMemory:
        for region in self._idle:
            if region.size >= size:
                self._idle.remove(region)
                return region
        size = max(SMALLEST, 1 << (size - 1).bit_length())
        if shutil.disk_usage("/dev/shm").free < size:  # the kernel kills a process that writes to a full one
            raise ClientError(f"/dev/shm has no room for {size} bytes: enlarge it, or leave out shared_memory")
        name = f"signs-{os.getpid()}-{secrets.token_hex(8)}"  # names the owner of a leftover
        self._all.append(SharedMemory(name, create=True, size=size))
        return self._all[-1]

    async def _register(self, region: SharedMemory, seconds: float) -> None:
        try:
            await self._call(seconds, "register_system_shared_memory", region.name, f"/{region.name}", region.size)
        except (UnavailableError, TimedOutError):
            raise
        except ClientError as error:
            if "already in manager" not in str(error):  # an earlier registration that timed out
                raise ClientError(str(error) if NO_CLIENT_SHM in str(error) else f"{error}. {NO_CLIENT_SHM}") from error
        self._known.add(region.name)
