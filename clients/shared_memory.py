"""Memory of this machine that the server reads inputs from, so that they do not travel through a socket."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clients.errors import FORGOTTEN, ClientError, TimedOutError, UnavailableError

FORGETTING = 5.0  # seconds that a server has, when the client closes, to give up all regions
SMALLEST = 1 << 20  # bytes of a region; sizes double from here, so that regions are used again


@dataclass(eq=False)
class Region:
    """A piece of it: how many of its bytes are filled, and whether the server knows its name."""

    name: str
    size: int
    handle: Any
    filled: int = 0
    registered: bool = False


class Regions:
    """The regions of one client; each request in flight has one of its own.

    Args:
        call: asks the server: a method of tritonclient's clients, and its arguments.
    """

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self._all: list[Region] = []
        self._idle: list[Region] = []

    @asynccontextmanager
    async def holding(self, values: npt.NDArray[Any], seconds: float) -> AsyncIterator[Region]:
        """Lends a region that holds a tensor, of BYTES where its values are objects, and that the server knows.

        Raises:
            ClientError: the machine has no room for it, or the server cannot use it.
        """
        region = self._fill(values)
        try:
            if not region.registered:
                await self._register(region, seconds)
            yield region
        except UnavailableError as error:
            if FORGOTTEN in str(error):  # it was started again, and knows none: a retry may get any of them
                for each in self._all:
                    each.registered = False
            raise
        finally:  # where nobody waits for the answer any more, it does not matter what the server still reads here
            self._idle.append(region)

    async def close(self) -> None:
        """Removes all regions from the machine."""
        from tritonclient.utils import shared_memory

        known = [region.name for region in self._all if region.registered]
        calls = (self._call(FORGETTING, "unregister_system_shared_memory", name) for name in known)
        try:  # an error is nobody's trouble: a server that is gone has forgotten them, a slow one yet will
            await asyncio.gather(*calls, return_exceptions=True)
        finally:
            for region in self._all:
                shared_memory.destroy_shared_memory_region(region.handle)
            self._all, self._idle = [], []

    def _fill(self, values: npt.NDArray[Any]) -> Region:
        from tritonclient.utils import serialize_byte_tensor, shared_memory

        if values.dtype == np.object_:
            values = np.frombuffer(serialize_byte_tensor(values).item(), np.uint8)
        region = next((each for each in self._idle if each.size >= values.nbytes), None)
        if region is None:
            size = max(SMALLEST, 1 << (values.nbytes - 1).bit_length())
            if shutil.disk_usage("/dev/shm").free < size:  # the kernel ends a process that writes all the same
                raise ClientError(f"/dev/shm has no room for {size} bytes: enlarge it, or leave out shared_memory")
            name = f"signs-{os.getpid()}-{secrets.token_hex(8)}"  # what is left over tells whose it was
            region = Region(name, size, shared_memory.create_shared_memory_region(name, f"/{name}", size))
            self._all.append(region)
        else:
            self._idle.remove(region)
        shared_memory.set_shared_memory_region(region.handle, [values])
        region.filled = values.nbytes
        return region

    async def _register(self, region: Region, seconds: float) -> None:
        try:
            where = (region.name, f"/{region.name}", region.size)
            await self._call(seconds, "register_system_shared_memory", *where)
        except (TimedOutError, UnavailableError):
            raise
        except ClientError as error:
            if "already in manager" not in str(error):  # it had answered too late
                raise ClientError(
                    f"{error}: it cannot use this machine's shared memory; let it run on this machine, as the same "
                    "user and with the same /dev/shm, or leave out shared_memory"
                ) from error
        region.registered = True
