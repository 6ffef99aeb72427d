"""The gateway's limits: requests in progress, bytes in memory, and concurrent calls of Triton."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from clients.gateway.problems import OVERLOADED, TIMEOUT, ProblemError

Hold = Callable[[int], None]
LATER = "try again after the seconds in Retry-After, or send fewer requests at once"


class Limits:
    """Counts the requests in progress, within one event loop.

    `concurrency` of them may call Triton at a time, `queue` more may wait; all may hold `max_upload_memory` bytes of
    uploads.
    """

    def __init__(self, concurrency: int, queue: int, max_upload_memory: int) -> None:
        self.in_flight = 0
        self._most, self._max_upload_memory, self._held = concurrency + queue, max_upload_memory, 0
        self._turns = asyncio.Semaphore(concurrency)

    @contextmanager
    def admitted(self) -> Iterator[Hold]:
        """Admits a request until the block ends; yields a function that counts its bytes in memory.

        Raises:
            ProblemError: too many requests are in progress; of the function: too many bytes are in memory.
        """
        if self.in_flight >= self._most:
            raise ProblemError(OVERLOADED, f"{self.in_flight} requests are in progress: {LATER}")
        self.in_flight += 1
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._held + size > self._max_upload_memory:
                raise ProblemError(OVERLOADED, f"other uploads fill the memory: {LATER}")
            self._held += size
            held += size

        try:
            yield hold
        finally:
            self.in_flight -= 1
            self._held -= held

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[None]:
        """Waits in the order of arrival to call Triton; raises ProblemError at `deadline` of the event loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError:
            raise ProblemError(TIMEOUT, f"the request waited too long in the queue: {LATER}") from None
        try:
            yield
        finally:
            self._turns.release()
