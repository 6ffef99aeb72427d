"""How much a gateway takes on at once: requests, bytes in memory, and questions to Triton."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from clients.gateway.problems import OVERLOADED, TIMEOUT, ProblemError

LATER = "ask again after the seconds in Retry-After, or ask less at once"


class Limits:
    """Counts what is in work, within one event loop.

    Args:
        concurrency: questions to Triton at once.
        queue: requests that may wait beside so many that are in work.
        max_held: bytes of uploads that are in memory at one time.
    """

    def __init__(self, concurrency: int, queue: int, max_held: int) -> None:
        self.in_flight = 0
        self._most, self._max_held, self._held = concurrency + queue, max_held, 0
        self._turns = asyncio.Semaphore(concurrency)

    @contextmanager
    def admitted(self) -> Iterator["Held"]:
        """Holds a place for a request and what it uploads.

        Raises:
            ProblemError: there are as many as there may be.
        """
        if self.in_flight >= self._most:
            raise ProblemError(OVERLOADED, f"{self.in_flight} requests are being answered or wait: {LATER}")
        self.in_flight += 1
        held = Held(self)
        try:
            yield held
        finally:
            self.in_flight -= 1
            self._held -= held.size

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[None]:
        """Waits for a turn to ask Triton, first come, first served.

        Args:
            deadline: of the event loop's clock.

        Raises:
            ProblemError: the time is up before that.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._turns.acquire()
        except TimeoutError:
            raise ProblemError(TIMEOUT, f"the time went by in the queue: {LATER}") from None
        try:
            yield
        finally:
            self._turns.release()

    def hold(self, size: int) -> None:
        """Counts bytes that come into memory.

        Raises:
            ProblemError: there is no room for them.
        """
        if self._held + size > self._max_held:
            raise ProblemError(OVERLOADED, f"the uploads of others fill the memory: {LATER}")
        self._held += size


class Held:
    """The bytes that one request has in memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self.size = limits, 0

    def add(self, size: int) -> None:
        """Counts bytes more; see `Limits.hold`."""
        self._limits.hold(size)
        self.size += size
