"""Runs the gateway under uvicorn; on SIGTERM it finishes what it has begun."""

import signal
import time
from types import FrameType

import uvicorn

from clients.gateway.app import make_app
from clients.gateway.protocol import ProblemProtocol
from clients.gateway.settings import Settings


class Server(uvicorn.Server):
    """A server that drains.

    On SIGTERM it says that it is not ready, goes on answering for `drain_delay` seconds, in which a load balancer
    learns of it, then takes no more connections and waits `drain_timeout` seconds for the requests in flight. Ctrl-C
    leaves out the delay; a second signal leaves out the wait.
    """

    def __init__(self, settings: Settings, host: str, port: int) -> None:
        self._delay, self._until = settings.drain_delay, 0.0
        config = uvicorn.Config(
            make_app(settings, lambda: self._until > 0),
            host,
            port,
            http=ProblemProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end, on a signal; the process then ends with code 0."""
        if self._until:
            self.force_exit = self.should_exit
            self._until = time.monotonic()
            return
        self._until = time.monotonic() + (self._delay if sig == signal.SIGTERM else 0)

    async def on_tick(self, counter: int) -> bool:
        """Tells, ten times a second, whether the end has come."""
        if self._until and time.monotonic() >= self._until:
            self.should_exit = True
        return await super().on_tick(counter)
