"""The load generator: a program that calls one server over HTTP/1.1 and measures the latencies.

perf_analyzer speaks only to Triton, TorchServe and OpenAI's interface, and HTTP libraries use 0.2 ms and more of
processor time for a request, on the cores that the server computes with. This program sends prepared requests over
asyncio's transports, for a fraction of that (README.md), and reports its share of a core.

In a closed loop each client sends its next request after an answer. The loop runs past its time until there are as many
answers as clients, or the time for one answer is over. In an open loop requests fall due at random moments of a given
rate (a Poisson process, the same moments for every server); a latency counts from that moment, also if the request
waits for a free connection, so that a server that stalls cannot hide it (coordinated omission). Both end after the
answers to all requests in flight.

It reads a job as JSON from standard input and prints the outcome as JSON:

    {"host": "127.0.0.1", "port": 8000, "requests": ["<base64 of a whole HTTP request>"], "seconds": 5, "warm_up_s": 1,
     "clients": 32, "rate": null, "timeout_s": 30, "keep": 200}
"""

import asyncio
import base64
import contextlib
import gc
import itertools
import json
import math
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from clients.benchmark.peers.http_connection import Connection

PAUSE_S = 0.01  # after a failure, so that a server that refuses at once is not called in a tight loop
EXTENSION_S = 0.05  # of a closed loop with too few answers
SEED = 0


@dataclass
class Outcome:
    """The outcome of a job."""

    latencies_us: list[int] = field(default_factory=list)  # of each measured request, in microseconds
    seconds: float = 0.0  # how long was measured
    answered: int = 0  # in that time
    failures: int = 0  # requests that were refused, cut off or not answered in time
    unanswered: int = 0  # requests of an open loop without an answer at its end; their waiting times are latencies too
    reasons: list[str] = field(default_factory=list)  # of the first failures
    answers: list[tuple[int, bytes, bytes]] = field(default_factory=list)  # some: request's number, head and body
    cpu_share: float = 0.0  # of one core, that this program used
    late_us: int = 0  # how late requests of an open loop left although a connection was free, 99th percentile


def arrivals(rate: float, seconds: float) -> list[float]:
    """Returns the moments, in seconds from the start, at which the requests of an open loop fall due."""
    rng = random.Random(SEED)
    moments, moment = [], rng.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += rng.expovariate(rate)
    return moments


class Load:
    """A job, with the fields in the module's docstring."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.requests = [base64.b64decode(each) for each in job["requests"]]
        self.connections = [Connection(str(job["host"]), int(job["port"])) for _ in range(int(job["clients"]))]
        self.seconds, self.warm_up_s = float(job["seconds"]), float(job["warm_up_s"])
        self.timeout_s, self.keep = float(job["timeout_s"]), int(job["keep"])
        self.rate = job.get("rate")
        self.outcome = Outcome()
        self.numbers = itertools.count()
        self.due: dict[Connection, float] = {}  # of the requests in flight
        self.is_over = False
        self.rng = random.Random(SEED)
        self.late: list[float] = []

    def run(self) -> Outcome:
        """Runs the job; raises OSError if nothing listens at the address."""
        gc.disable()  # its pauses would be measured
        try:
            asyncio.run(self._run())
        finally:
            gc.enable()
        return self.outcome

    async def _run(self) -> None:
        self.waiting: asyncio.Queue[float | None] = asyncio.Queue()  # when the requests of an open loop fell due
        try:
            await asyncio.gather(*(each.connect() for each in self.connections))
            self.start = time.perf_counter() + self.warm_up_s
            self.end = self.start + self.seconds if self.rate else math.inf
            ask = self._ask_what_is_due if self.rate else self._ask_again
            asking = [asyncio.create_task(ask(each)) for each in self.connections]
            arriving = asyncio.create_task(self._arrive())
            await _sleep_until(self.start)
            cpu = time.process_time()
            await _sleep_until(self.start + self.seconds)
            await (self._finish_open() if self.rate else self._finish_closed())
            stopped = time.perf_counter()
            self.outcome.seconds = min(self.end, stopped) - self.start
            self.outcome.cpu_share = (time.process_time() - cpu) / (stopped - self.start)
            self.is_over = True
            await arriving
            self._give_up(stopped)
            # The server still works on these; the next load should not wait for them.
            await asyncio.gather(*asking)
        finally:
            for each in self.connections:
                each.close()

    async def _ask_again(self, connection: Connection) -> None:
        while not self.is_over:
            await self._ask(connection, time.perf_counter())

    async def _ask_what_is_due(self, connection: Connection) -> None:
        while (due := await self.waiting.get()) is not None:
            await self._ask(connection, due)
            self.waiting.task_done()

    async def _arrive(self) -> None:
        """Queues the requests of an open loop when they fall due."""
        began = self.start - self.warm_up_s
        for moment in arrivals(float(self.rate), self.warm_up_s + self.seconds) if self.rate else ():
            due = began + moment
            await _sleep_until(due)
            if self.waiting.empty() and len(self.due) < len(self.connections):
                self.late.append(time.perf_counter() - due)
            self.waiting.put_nowait(due)

    async def _finish_closed(self) -> None:
        """Waits for enough answers: of a slow server a short time would show none."""
        latest = time.perf_counter() + self.timeout_s
        while self.outcome.answered + self.outcome.failures < len(self.connections) and time.perf_counter() < latest:
            await asyncio.sleep(EXTENSION_S)

    async def _finish_open(self) -> None:
        """Gives the server some time to answer what fell due before the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self.timeout_s, max(1.0, 0.5 * self.seconds))):
                await self.waiting.join()

    async def _ask(self, connection: Connection, due: float) -> None:
        self.due[connection] = due
        number = next(self.numbers) % len(self.requests)
        try:
            async with asyncio.timeout(self.timeout_s):
                head, body = await connection.ask(self.requests[number])
        except (OSError, ValueError) as error:
            reason = f"no answer in {self.timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
            await self._fail(due, reason)
            return
        finally:
            del self.due[connection]
        now = time.perf_counter()
        if head[9:12] != b"200":
            await self._fail(due, b": ".join((head.partition(b"\r")[0], body[:200])).decode(errors="replace"))
        elif not self.is_over:
            if self.start <= now < self.end:
                self.outcome.answered += 1
            if self.start <= (due if self.rate else now) < self.end:
                self.outcome.latencies_us.append(int(1e6 * (now - due)))
                self._keep(number, head, body)

    async def _fail(self, due: float, reason: str) -> None:
        if not self.is_over and (due >= self.start or not self.rate):
            self.outcome.failures += 1
            if len(self.outcome.reasons) < 5:
                self.outcome.reasons.append(reason)
        await asyncio.sleep(PAUSE_S)

    def _keep(self, number: int, head: bytes, body: bytes) -> None:
        """Keeps a random sample of the answers (reservoir sampling)."""
        seen = len(self.outcome.latencies_us)
        if len(self.outcome.answers) < self.keep:
            self.outcome.answers.append((number, head, body))
        elif (place := self.rng.randrange(seen)) < self.keep:
            self.outcome.answers[place] = (number, head, body)

    def _give_up(self, now: float) -> None:
        """Counts the requests of an open loop that have no answer, and ends its queue."""
        if not self.rate:
            return
        left = list(self.due.values())
        while not self.waiting.empty():
            left.append(self.waiting.get_nowait() or 0.0)
        for due in left:
            if self.start <= due < self.end:
                self.outcome.unanswered += 1
                self.outcome.latencies_us.append(int(1e6 * (now - due)))
        for _ in self.connections:
            self.waiting.put_nowait(None)
        if self.late:
            self.outcome.late_us = int(1e6 * sorted(self.late)[math.ceil(0.99 * len(self.late)) - 1])


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.perf_counter()))


def main() -> None:
    """Runs the job on standard input."""
    try:
        outcome = Load(json.load(sys.stdin)).run()
    except OSError as error:
        sys.exit(f"the server cannot be reached: {error}")
    facts = vars(outcome) | {
        "answers": [
            (number, base64.b64encode(head).decode(), base64.b64encode(body).decode())
            for number, head, body in outcome.answers
        ]
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
