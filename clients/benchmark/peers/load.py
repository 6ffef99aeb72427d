"""The load generator: a program of its own that asks one server over HTTP/1.1 and measures how long the answers take.

It is ours and neither perf_analyzer, which speaks to Triton, TorchServe and OpenAI's interface alone, nor an HTTP
library: those cost 0.2 ms and more of processor time a request, on the cores that the server computes with. This one
sends requests that were put together beforehand over raw sockets and one epoll, for some 0.03 ms, and reports its own
share of a core. It runs as `python -m`, with the standard library alone, so that it is up at once.

A closed loop has a fixed number of clients, each of which asks again as soon as it was answered; it runs past its
time until there are as many answers as clients, or the time for one answer is over. An open loop has requests fall due
at random moments of a given rate (a Poisson process, the same moments for every server), whether the server keeps up or
not; a latency counts from the moment the request fell due, also where it had to wait for a free connection, so that a
server that stalls cannot hide it (coordinated omission). Both end when the server has answered what is under way.

It reads a job as JSON from standard input and prints the outcome as JSON:

    {"host": "127.0.0.1", "port": 8000, "requests": ["<base64 of a whole HTTP request>"], "seconds": 5, "warm_up_s": 1,
     "clients": 32, "rate": null, "timeout_s": 30, "keep": 200}
"""

import base64
import collections
import gc
import json
import math
import random
import resource
import select
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from clients.benchmark.peers.http_connection import Connection, split_response

PAUSE_S = 0.01  # after a failure: a server that refuses at once must not be asked in a tight loop
SWEEP_S = 0.25  # between looks for requests that have run out of time
SEED = 0


@dataclass
class Outcome:
    """What came of a job.

    Attributes:
        latencies_us: of each measured request, in whole microseconds.
        seconds: the requests were measured for; a closed loop may take longer than it was to.
        answered: how many of the answers arrived within that time.
        failures: requests that were refused, cut off or not answered in time.
        unanswered: of an open loop, requests that still waited when it was given up; their waiting time until then is
            among the latencies.
        reasons: the first failures, in words.
        answers: some of the answers: number of the request, head and body of the response.
        cpu_share: of one core that this program took.
        late_us: of an open loop, how late requests left although a connection was free, 99th percentile.
    """

    latencies_us: list[int] = field(default_factory=list)
    seconds: float = 0.0
    answered: int = 0
    failures: int = 0
    unanswered: int = 0
    reasons: list[str] = field(default_factory=list)
    answers: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    cpu_share: float = 0.0
    late_us: int = 0


def arrivals(rate: float, seconds: float) -> list[float]:
    """Returns the moments, in seconds from the start, at which the requests of an open loop fall due."""
    rng = random.Random(SEED)
    moments, moment = [], rng.expovariate(rate)
    while moment < seconds:
        moments.append(moment)
        moment += rng.expovariate(rate)
    return moments


class Load:
    """One job under way; see the module for its fields."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.requests = [base64.b64decode(each) for each in job["requests"]]
        self.address = (str(job["host"]), int(job["port"]))
        self.seconds, self.warm_up_s = float(job["seconds"]), float(job["warm_up_s"])
        self.timeout_s, self.keep = float(job["timeout_s"]), int(job["keep"])
        self.clients = int(job["clients"])
        rate = job.get("rate")
        self.moments = [] if rate is None else arrivals(float(rate), self.warm_up_s + self.seconds)
        self.is_open = rate is not None
        self.outcome = Outcome(seconds=self.seconds)
        self.every = 1
        self.seen = 0
        self.late: list[int] = []

    def run(self) -> Outcome:
        """Runs the job.

        Raises:
            OSError: nobody listens at the address.
        """
        self.poll = select.epoll()
        self.connections: dict[int, Connection] = {}
        for _ in range(self.clients):
            self._watch(Connection(self.address))
        self.idle = collections.deque(self.connections.values())  # in turn: they may lead to different processes
        self.waiting: collections.deque[tuple[int, float]] = collections.deque()
        self.pauses: list[tuple[float, Connection]] = []
        self.began = time.perf_counter()
        self.start = self.began + self.warm_up_s
        self.end = self.start + self.seconds
        self.latest = self.end + self.timeout_s
        self.next_moment, self.next_number = 0, 0
        gc.disable()  # its pauses would be measured
        try:
            self._loop()
            self._drain()
        finally:
            gc.enable()
            for each in self.connections.values():
                each.socket.close()
            self.poll.close()
        self.outcome.seconds = self.end - self.start
        if self.late:
            self.outcome.late_us = sorted(self.late)[math.ceil(0.99 * len(self.late)) - 1]
        return self.outcome

    def _loop(self) -> None:
        cpu_before, sweep = 0.0, self.began + SWEEP_S
        # An open loop gets some more time to answer what fell due before the end.
        give_up = self.end + min(self.timeout_s, max(1.0, 0.5 * self.seconds))
        while (now := time.perf_counter()) < (give_up if self.is_open else self.end):
            if not cpu_before and now >= self.start:
                cpu_before = _cpu_seconds()
            if now < self.end or self.is_open:
                self._dispatch(now)
            if self.is_open and now >= self.end and not self.waiting and len(self.idle) == len(self.connections):
                break
            if now >= sweep:
                self._sweep(now)
                sweep = now + SWEEP_S
            events = self.poll.poll(self._patience(now, sweep))
            self._extend(time.perf_counter())
            for number, event in events:
                connection = self.connections.get(number)
                if connection is None:
                    continue
                if event & select.EPOLLOUT:
                    connection.push()
                    self.poll.modify(number, select.EPOLLIN | (select.EPOLLOUT if connection.rest else 0))
                if event & ~select.EPOLLOUT:
                    self._receive(connection)
        stopped = time.perf_counter()
        self.outcome.cpu_share = (_cpu_seconds() - cpu_before) / (stopped - self.start)
        if self.is_open:
            self._give_up(stopped)

    def _extend(self, now: float) -> None:
        """Moves the end of a closed loop that has too few answers: of a slow server a short time would show none."""
        too_few = self.outcome.answered + self.outcome.failures < self.clients
        if not self.is_open and now >= self.end and too_few:
            self.end = max(self.end, min(now + SWEEP_S, self.latest))

    def _patience(self, now: float, sweep: float) -> float:
        """Returns the seconds until something is to be done without an answer."""
        until = min(sweep, self.start if now < self.start else self.end if now < self.end else sweep)
        if self.is_open and self.next_moment < len(self.moments) and self.idle:
            until = min(until, self.began + self.moments[self.next_moment])
        if self.pauses:
            until = min(until, self.pauses[0][0])
        return max(0.0, until - now)

    def _dispatch(self, now: float) -> None:
        """Sends what is due."""
        while self.pauses and self.pauses[0][0] <= now:
            self.idle.append(self.pauses.pop(0)[1])
        if not self.is_open:
            while self.idle:
                self._send(self.idle.popleft(), self.next_number, now, now)
                self.next_number += 1
            return
        while self.next_moment < len(self.moments) and self.began + self.moments[self.next_moment] <= now:
            due = self.began + self.moments[self.next_moment]
            if self.idle and not self.waiting:
                self.late.append(int(1e6 * (now - due)))
            self.waiting.append((self.next_number, due))
            self.next_moment += 1
            self.next_number += 1
        while self.waiting and self.idle:
            self._send(self.idle.popleft(), *self.waiting.popleft(), now)

    def _send(self, connection: Connection, number: int, due: float, now: float) -> None:
        try:
            connection.send(self.requests[number % len(self.requests)], number, due, now)
        except OSError as error:
            self._lost(connection, error)
            return
        if connection.rest:
            self.poll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _receive(self, connection: Connection) -> None:
        try:
            still_open = connection.read()
        except OSError as error:
            self._lost(connection, error)
            return
        if not connection.busy:
            self._lost(connection, None)  # closed while nothing was asked, or speaks out of turn
            return
        try:
            response = split_response(connection.received)
        except ValueError as error:
            self._lost(connection, error, again=False)
            return
        if response is not None:
            self._answered(connection, *response, not still_open or b"\r\nconnection: close" in response[0].lower())
        elif not still_open:
            self._lost(connection, ConnectionResetError("the server closed the connection"))

    def _answered(self, connection: Connection, head: bytes, body: bytes, is_last: bool) -> None:
        now = time.perf_counter()
        connection.busy = connection.fresh = False
        due, number = connection.due, connection.number
        if is_last and not self._reconnect(connection):
            return
        if head[9:12] != b"200":
            text = body[:200].decode(errors="replace")
            self._fail(due, f"{head.split(bytes((13,)))[0].decode(errors='replace')}: {text}")
            self.pauses.append((now + PAUSE_S, connection))
            return
        if self.start <= now < self.end:
            self.outcome.answered += 1
        if self.start <= (due if self.is_open else now) < self.end:
            self.outcome.latencies_us.append(int(1e6 * (now - due)))
            self._keep(number, head, body)
        if self.is_open or now >= self.end:
            self.idle.append(connection)
        else:
            self._send(connection, self.next_number, now, now)
            self.next_number += 1

    def _keep(self, number: int, head: bytes, body: bytes) -> None:
        """Keeps some of the answers, evenly over the time: every second, then every fourth, and so on."""
        if not self.keep:
            return
        if self.seen % self.every == 0:
            self.outcome.answers.append((number % len(self.requests), head, body))
            if len(self.outcome.answers) >= 2 * self.keep:
                del self.outcome.answers[1::2]
                self.every *= 2
        self.seen += 1

    def _fail(self, due: float, reason: str) -> None:
        if due >= self.start or not self.is_open:
            self.outcome.failures += 1
        if len(self.outcome.reasons) < 5:
            self.outcome.reasons.append(reason)

    def _lost(self, connection: Connection, error: Exception | None, again: bool = True) -> None:
        """Opens a connection again that has ended, and asks again where the server had merely closed an idle one."""
        was_busy, stale = connection.busy, again and not connection.fresh and not connection.received
        number, due = connection.number, connection.due
        if was_busy and not stale:
            self._fail(due, str(error))
        connection.busy = False
        if self._reconnect(connection):
            if was_busy and stale:
                self._send(connection, number, due, time.perf_counter())
            elif was_busy:
                self.pauses.append((time.perf_counter() + PAUSE_S, connection))

    def _reconnect(self, connection: Connection) -> bool:
        self.connections.pop(connection.socket.fileno(), None)
        connection.socket.close()
        try:
            connection.connect()
        except OSError as error:
            self._fail(time.perf_counter(), f"cannot connect again: {error}")
            if connection in self.idle:
                self.idle.remove(connection)
            if not self.connections:
                raise
            return False
        self._watch(connection)
        return True

    def _watch(self, connection: Connection) -> None:
        self.connections[connection.socket.fileno()] = connection
        self.poll.register(connection.socket.fileno(), select.EPOLLIN)

    def _sweep(self, now: float) -> None:
        for connection in list(self.connections.values()):
            if connection.busy and now - connection.sent > self.timeout_s:
                self._lost(connection, TimeoutError(f"no answer in {self.timeout_s:g} s"), again=False)

    def _drain(self) -> None:
        """Waits for what is still under way, and counts it no more: the next load is not to stand behind it."""
        deadline = time.perf_counter() + self.timeout_s
        busy = {number: each for number, each in self.connections.items() if each.busy}
        while busy and (now := time.perf_counter()) < deadline:
            for number, event in self.poll.poll(deadline - now):
                connection = self.connections[number]
                try:
                    if event & select.EPOLLOUT:
                        connection.push()
                        self.poll.modify(number, select.EPOLLIN | (select.EPOLLOUT if connection.rest else 0))
                    is_over = bool(event & ~select.EPOLLOUT) and (
                        not connection.read() or split_response(connection.received) is not None
                    )
                except (OSError, ValueError):
                    is_over = True
                if is_over:
                    self.poll.unregister(number)
                    busy.pop(number, None)

    def _give_up(self, now: float) -> None:
        under_way = [each.due for each in self.connections.values() if each.busy]
        for due in [*under_way, *(due for _, due in self.waiting)]:
            if self.start <= due < self.end:
                self.outcome.unanswered += 1
                self.outcome.latencies_us.append(int(1e6 * (now - due)))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


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
