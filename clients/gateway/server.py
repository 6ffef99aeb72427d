"""Runs the gateway under uvicorn; on SIGTERM it finishes the requests in progress."""

import logging
import signal
import socket
import time
from types import FrameType

import uvicorn

from clients.gateway.app import make_app
from clients.gateway.protocol import ProblemProtocol
from clients.gateway.settings import Settings
from traffic_sign_client.errors import ClientError

logger = logging.getLogger(__name__)


def serve(settings: Settings, host: str, port: int) -> None:
    """Runs a gateway until a signal ends it; port 0 takes a free one, which the log names.

    Raises:
        ClientError: it cannot listen on the address, or the settings cannot be used.
    """
    server = Server(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ClientError(f"cannot listen on {host}:{port} ({error.strerror}): choose --host and --port") from error
    with listening:
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        logger.info("listening on http://%s:%d", shown, listening.getsockname()[1])
        server.run(sockets=[listening])


class Server(uvicorn.Server):
    """A server that drains.

    On SIGTERM it reports that it is not ready and still answers for `drain_delay` seconds, so that load balancers
    notice; then it accepts no more connections and waits up to `drain_timeout` seconds for the requests in progress.
    Ctrl-C skips the delay; a second signal skips the wait.
    """

    def __init__(self, settings: Settings) -> None:
        self._delay, self._until = settings.drain_delay, 0.0
        config = uvicorn.Config(
            make_app(settings, lambda: self._until > 0),
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
        """Starts to drain on a signal; the process then ends with code 0."""
        if self._until:
            self.force_exit = self.should_exit
            self._until = time.monotonic()
            return
        self._until = time.monotonic() + (self._delay if sig == signal.SIGTERM else 0)

    async def on_tick(self, counter: int) -> bool:
        """Returns, ten times a second, whether the server should exit."""
        if self._until and time.monotonic() >= self._until:
            self.should_exit = True
        return await super().on_tick(counter)
